"""Where files live: a folder (`file:`) or chunks in the database (`database:`), behind one small interface."""

from sqlalchemy import Engine

from service.settings import Settings
from service.store.artifacts.database import DatabaseStore
from service.store.artifacts.folder import FolderStore
from service.store.artifacts.interface import ArtifactStore


def open_artifacts(settings: Settings, engine: Engine) -> ArtifactStore:
    """The store that `ARTIFACT_URL` names."""
    if settings.artifact_folder is not None:
        return FolderStore(settings.artifact_folder)
    scheme = settings.artifacts.partition(":")[0]
    if scheme == "database":
        return DatabaseStore(engine)
    raise ValueError(f"TRAINWRIGHT_ARTIFACT_URL: unknown scheme `{scheme}`; known: file:, database:")
