"""Start weights that clients upload: stored with what they fit, deleted when no open job needs them."""

from pathlib import Path

from sqlalchemy.orm import Session

from service.errors import ConflictError, InUseError
from service.ids import new_id
from service.models.profile import profile
from service.reports.weights import WeightsProfile, WeightsReport
from service.store import files, weights
from service.store.session import Store
from service.store.tables import WeightsRow

SUFFIXES = {"safetensors": "safetensors", "state-dict": "pt"}


def create(store: Store, name: str, path: Path, owner: str | None) -> WeightsReport:
    """Takes over a file; InvalidRequestError when it is no weights file, ConflictError when the name is taken."""
    seen, weights_id = profile(path), new_id()
    filename = f"weights.{SUFFIXES[seen.format]}"
    stored = store.artifacts.put(f"weights/{weights_id}/{filename}", path)
    try:
        with store.begin(owner) as session:
            row = weights.insert(session, weights_id, name, seen)
            files.put(session, weights_id, filename, "weights", stored)
            return report(session, row)
    except ConflictError:
        store.artifacts.delete(stored.key)
        raise


def report(session: Session, row: WeightsRow) -> WeightsReport:
    """The weights as clients see them."""
    file = files.of(session, row.id)[0]
    return WeightsReport(
        **dict(WeightsProfile.model_validate(row.profile)),
        id=row.id,
        name=row.name,
        owner=row.owner,
        size=file.size,
        sha256=file.sha256,
        created_at=row.created_at,
    )


def delete(store: Store, key: str) -> None:
    """Deletes weights and their file; InUseError names the jobs that still need them."""
    with store.begin() as session:
        row = weights.get(session, key, lock=True)
        if in_use := files.users(session, [row.id]).get(row.id):
            raise InUseError("jobs still use these weights: " + ", ".join(in_use[:10]))
        artifacts = [file.artifact for file in files.of(session, row.id)]
        files.remove(session, row.id)
        session.delete(row)
    for artifact in artifacts:  # after the commit: a row never names a file that is gone
        store.artifacts.delete(artifact)
