"""Start weights that clients upload: stored with what they fit, deleted when no open job needs them."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ConflictError, InUseError, NotFoundError
from service.ids import new_id
from service.models.profile import profile
from service.reports.weights import WeightsProfile, WeightsReport
from service.store import files
from service.store.session import Store, actor_of, now
from service.store.tables import WeightsRow

SUFFIXES = {"safetensors": "safetensors", "state-dict": "pt"}


def create(store: Store, name: str, path: Path, owner: str | None) -> WeightsReport:
    """Takes over a file; InvalidRequestError when it is no weights file, ConflictError when the name is taken."""
    seen, weights_id = profile(path), new_id()
    filename = f"weights.{SUFFIXES[seen.format]}"
    stored = store.artifacts.put(f"weights/{weights_id}/{filename}", path)
    try:
        with store.begin(owner) as session:
            row = _insert(session, weights_id, name, seen)
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
        row = get(session, key, lock=True)
        if in_use := files.users(session, [row.id]).get(row.id):
            raise InUseError("jobs still use these weights: " + ", ".join(in_use[:10]))
        artifacts = [file.artifact for file in files.of(session, row.id)]
        files.remove(session, row.id)
        session.delete(row)
    for artifact in artifacts:  # after the commit: a row never names a file that is gone
        store.artifacts.delete(artifact)


def _insert(session: Session, weights_id: str, name: str, profile: WeightsProfile) -> WeightsRow:
    """New weights of the session's actor; ConflictError when the name is taken."""
    row = WeightsRow(
        id=weights_id,
        name=name,
        profile=profile.model_dump(mode="json"),
        created_at=now(session),
        owner=actor_of(session),
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        detail = f"weights named `{name}` exist already; choose another name or delete them first"
        raise ConflictError(detail) from error
    return row


def get(session: Session, key: str, *, lock: bool = False) -> WeightsRow:
    """The weights with this id, else those of this name; NotFoundError when there are none.

    With `lock`, nobody uses or deletes them before this transaction ends.
    """
    row = session.get(WeightsRow, key, with_for_update=lock)
    if row is None:
        query = select(WeightsRow).where(WeightsRow.name == key)
        row = session.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"no weights have the id or name `{key}`")
    return row


def names(session: Session, limit: int = 1000) -> list[str]:
    """Names of weights, at most `limit`."""
    return list(session.execute(select(WeightsRow.name).limit(limit)).scalars())


def list_page(session: Session, *, limit: int = 50, cursor: str | None = None) -> tuple[list[WeightsRow], str | None]:
    """Newest first; the cursor is the last id."""
    query = select(WeightsRow).order_by(WeightsRow.id.desc()).limit(limit + 1)
    rows = list(session.execute(query.where(WeightsRow.id < cursor) if cursor else query).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
