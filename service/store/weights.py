"""Start weights that were uploaded: a name, a profile, and a file of the role `weights`."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ConflictError, NotFoundError
from service.reports.weights import WeightsProfile
from service.store.session import actor_of, now
from service.store.tables import WeightsRow


def insert(session: Session, weights_id: str, name: str, profile: WeightsProfile) -> WeightsRow:
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
