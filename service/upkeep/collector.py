"""Deletes files that nobody needs any more.

The files are listed first and asked about afterwards: what is named, started or imported in between is seen. What is
younger than an hour stays whatever the rows say, because its job may be about to name it.
"""

from service.datasets.uploads import Uploads
from service.store import files
from service.store.session import Store

YOUNG_SECONDS = 3_600.0
"""A file that was stored this lately is left alone."""
ABANDONED_SECONDS = 86_400.0
"""Age at which half a file is no longer one that is being written, and an upload one that nobody goes on with."""
BATCH = 200
"""Files that are asked about, and then deleted, at once."""


def collect(store: Store, young_seconds: float = YOUNG_SECONDS) -> int:
    """Deletes artifacts that nobody needs and abandoned parts of files; returns how many."""
    artifacts = store.artifacts
    keys = [
        *artifacts.keys("jobs", young_seconds),
        *artifacts.keys("datasets", young_seconds),
        *artifacts.keys("weights", young_seconds),
        *artifacts.keys("uploads", ABANDONED_SECONDS),
    ]
    collected = sum(_collect(store, keys[start : start + BATCH]) for start in range(0, len(keys), BATCH))
    return collected + artifacts.delete_partial(ABANDONED_SECONDS) + Uploads(store).collect(ABANDONED_SECONDS)


def _collect(store: Store, keys: list[str]) -> int:
    with store.read() as session:
        needed = files.needed(session, keys) | files.failed_uploads(session, keys, ABANDONED_SECONDS)
    return sum(store.artifacts.delete(key) for key in keys if key not in needed)
