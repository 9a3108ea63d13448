"""Puts a backup in the place of what a service has stored, so that no worker from before can write to it."""

import shutil
from pathlib import Path

from sqlalchemy import inspect, text

from service.errors import ConflictError, SchemaError
from service.settings import Settings
from service.store import migrate
from service.store.artifacts.interface import sha256_of
from service.store.session import Store
from service.upkeep import fencing, postgres_copy, sqlite_copy
from service.upkeep.backup import ARTIFACTS, DATABASE, Manifest, artifact_scheme

TELLING_TABLES = ("jobs", "datasets", "api_keys")
"""A service is in use when one of these has a row."""


def restore(settings: Settings, folder: Path, *, replace: bool = False) -> Manifest:
    """Restores the backup; running jobs wait again, and what workers from before still hold is void.

    Files come first, so that none that a row names is missing. Raises NotFoundError when the folder holds no backup,
    ConflictError when the service is in use (unless it is to be replaced) or the backup does not fit it or is damaged,
    SchemaError when a newer program made it.
    """
    manifest = Manifest.read(folder)
    store = Store(settings)
    try:
        _check(store, manifest, folder)
        if not replace and _is_used(store):
            raise ConflictError(
                "this service has jobs, datasets or keys: restore into a new one, or give --replace to lose them"
            )
        for key, sha256 in manifest.files.items():
            _restore_file(store, folder / ARTIFACTS / key, key, sha256)
        load = sqlite_copy.load if manifest.database == "sqlite" else postgres_copy.load
        load(store, folder / DATABASE, manifest.schema)
        fencing.end_leases(store)
    finally:
        store.close()
    return manifest


def _check(store: Store, manifest: Manifest, folder: Path) -> None:
    made_of = (manifest.database, manifest.artifact_scheme)
    if made_of != (here := (store.engine.dialect.name, artifact_scheme(store))):
        raise ConflictError(
            "the backup is of {} with artifacts in `{}:`, and this service has {} and `{}:`".format(*made_of, *here)
        )
    if not migrate.knows(manifest.schema):
        raise SchemaError(
            f"the backup was made by version {manifest.program} with the schema {manifest.schema}, which is newer than "
            f"this program's {migrate.newest()}: upgrade the program"
        )
    for name, sha256 in manifest.copies.items():
        _check_hash(folder / DATABASE / name, sha256)


def _check_hash(path: Path, sha256: str) -> None:
    if not path.is_file() or sha256_of(path) != sha256:
        raise ConflictError(f"the backup is damaged: {path} is missing or not what was copied")


def _is_used(store: Store) -> bool:
    with store.engine.connect() as connection:
        present = inspect(connection).get_table_names()
        return any(
            connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None
            for table in TELLING_TABLES
            if table in present
        )


def _restore_file(store: Store, path: Path, key: str, sha256: str) -> None:
    _check_hash(path, sha256)
    copy = store.settings.home / "restoring.file"
    shutil.copyfile(path, copy)
    store.artifacts.put(key, copy)
