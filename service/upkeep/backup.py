"""Copies everything that a service has stored into a folder, while the service runs.

The database is copied in one snapshot, and then the files that its rows name. A file that was deleted or replaced in
between makes the copy of the database too old: it is made anew, and only what is new among the files is copied again.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from service.durable_files import write_durably
from service.errors import ConflictError, NotFoundError, UnavailableError
from service.store import migrate
from service.store.artifacts.interface import sha256_of
from service.store.session import Store
from service.upkeep import postgres_copy, sqlite_copy

ROUNDS = 10
"""Copies of the database that are tried: each one finds fewer files to copy than the one before."""
MANIFEST, DATABASE, ARTIFACTS = "manifest.json", "database", "artifacts"


@dataclass(frozen=True)
class Manifest:
    """What a backup holds; it is written last, so that a folder without one is no backup."""

    program: str
    """Version of the program that made it."""
    schema: str
    """Revision of the database's schema."""
    database: str
    """`sqlite` or `postgresql`."""
    artifact_scheme: str
    """`file`, or `database` when the copy of the database has the files in it."""
    created_at: str
    copies: dict[str, str]
    """SHA-256 of each file that the database was copied to, by its name."""
    files: dict[str, str]
    """SHA-256 of each artifact, by its key."""

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a backup; NotFoundError when the folder holds none."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise NotFoundError(f"{folder} holds no complete backup: {error}") from error


def back_up(store: Store, folder: Path) -> Manifest:
    """Makes a backup in a new or empty folder.

    Raises ConflictError when there is something in the folder, UnavailableError when named files are not to be had.
    """
    migrate.check_schema(store.engine)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConflictError(f"{folder} is not empty: a backup needs a folder of its own")
    copied: dict[str, str] = {}
    for _ in range(ROUNDS):
        named = _copy_database(store, folder / DATABASE)
        wrong = [key for key, sha256 in named.items() if not _copy_file(store, key, sha256, folder, copied)]
        if not wrong:
            return _finish(store, folder, {key: copied[key] for key in named})
    raise UnavailableError(f"{len(wrong)} files that rows name are missing or damaged, {wrong[0]} among them")


def _copy_database(store: Store, folder: Path) -> dict[str, str | None]:
    """Returns the artifacts that the copy names and does not hold itself."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save = sqlite_copy.save if store.engine.dialect.name == "sqlite" else postgres_copy.save
    named = save(store, folder)
    return {} if artifact_scheme(store) == "database" else named


def _copy_file(store: Store, key: str, sha256: str | None, folder: Path, copied: dict[str, str]) -> bool:
    """Copies an artifact unless it was copied before; returns whether it is there and is what its row says."""
    if sha256 is not None and copied.get(key, sha256) != sha256:
        del copied[key]  # the job has stored another file under this name
    if key not in copied:
        try:
            copied[key] = sha256_of(store.artifacts.fetch(key, folder / ARTIFACTS / key))
        except (FileNotFoundError, NotFoundError):
            return False
    return sha256 in (None, copied[key])


def _finish(store: Store, folder: Path, copied: dict[str, str]) -> Manifest:
    """Deletes what the last copy of the database does not name any more, and writes the manifest."""
    artifacts = folder / ARTIFACTS
    for path in artifacts.rglob("*"):
        if path.is_file() and path.relative_to(artifacts).as_posix() not in copied:
            path.unlink()
    manifest = Manifest(
        program=version("trainwright"),
        schema=migrate.newest(),
        database=store.engine.dialect.name,
        artifact_scheme=artifact_scheme(store),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        copies={path.name: sha256_of(path) for path in (folder / DATABASE).iterdir()},
        files=copied,
    )
    write_durably(folder / MANIFEST, lambda path: path.write_text(json.dumps(asdict(manifest), indent=1)))
    return manifest


def artifact_scheme(store: Store) -> str:
    """Where the store keeps files: `file` or `database`."""
    return store.settings.artifacts.partition(":")[0]
