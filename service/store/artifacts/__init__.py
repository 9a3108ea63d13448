"""Where files live: a folder (`file:`) or chunks in the database (`database:`), behind one small interface."""

from pathlib import Path

from sqlalchemy import Engine

from service.settings import Settings
from service.store.artifacts.database import DatabaseStore
from service.store.artifacts.folder import FolderStore
from service.store.artifacts.interface import ArtifactStore


def open_artifacts(settings: Settings, engine: Engine) -> ArtifactStore:
    """The store that `ARTIFACT_URL` names."""
    scheme, _, rest = settings.artifacts.partition(":")
    match scheme:
        case "file":
            return FolderStore(Path(rest.removeprefix("//")).expanduser())
        case "database":
            return DatabaseStore(engine)
        case _:
            raise ValueError(f"TRAINWRIGHT_ARTIFACT_URL: unknown scheme `{scheme}`; known: file:, database:")
