"""Jobs: created, found, listed, relabelled, removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select
from sqlalchemy.orm import Session

from service.errors import InUseError, NotFoundError, StateError
from service.ids import new_id
from service.specs import INTERNAL_KINDS, AnyStoredSpec
from service.states import TERMINAL, JobState, Relation
from service.store import dependencies, events, files
from service.store.session import actor_of, now, owned_by
from service.store.tables import JobRow, LabelRow


@dataclass(frozen=True, slots=True)
class Parent:
    """The job that a new one belongs to or is made from."""

    job_id: str
    relation: Relation


def create(
    session: Session,
    spec: AnyStoredSpec,
    *,
    dataset_id: str | None = None,
    parent: Parent | None = None,
    needs: Sequence[tuple[str, str]] = (),
) -> JobRow:
    """Adds a job as `queued`; `needs` are (job id, role) of jobs that must end well before it may start.

    It belongs to whoever its parent belongs to, else to whoever acts.
    Raises NotFoundError when a needed job is not there.
    """
    roles = dict(needs)
    dependencies.lock_needed(session, roles)
    row = JobRow(
        id=new_id(),
        kind=spec.kind,
        name=spec.name,
        state=JobState.QUEUED,
        progress=0.0,
        priority=spec.priority,
        labels=dict(spec.labels),
        spec=spec.model_dump(mode="json"),
        dataset_id=dataset_id,
        parent_id=parent.job_id if parent else None,
        relation=parent.relation if parent else None,
        attempt=0,
        lost_attempts=0,
        next_seq=1,
        created_at=now(session),
        owner=_owner(session, parent),
    )
    session.add(row)
    session.flush()
    _set_labels(session, row.id, row.labels)
    dependencies.add(session, row.id, roles)
    reason = f"{parent.relation} of {parent.job_id}" if parent else "submitted"
    events.append(session, row.id, [events.state_change(session, JobState.QUEUED, reason)])
    return row


def _owner(session: Session, parent: Parent | None) -> str | None:
    if parent is None:
        return actor_of(session)
    return session.execute(select(JobRow.owner).where(JobRow.id == parent.job_id)).scalar_one_or_none()


def _set_labels(session: Session, job_id: str, labels: dict[str, Any]) -> None:
    session.execute(delete(LabelRow).where(LabelRow.job_id == job_id))
    session.add_all(LabelRow(job_id=job_id, key=key, value=value) for key, value in labels.items())


def get(session: Session, job_id: str) -> JobRow:
    """The job; NotFoundError when there is none."""
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFoundError(f"no job has the id `{job_id}`")
    return row


def lock(session: Session, job_id: str) -> JobRow:
    """The job as it is now; nobody else changes it before this transaction ends. NotFoundError when there is none."""
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    return row or get(session, job_id)


def relabel(session: Session, job_id: str, **changes: Any) -> JobRow:
    """Changes `name`, `labels` or `priority`."""
    row = get(session, job_id)
    for field, value in changes.items():
        setattr(row, field, value)
    if "labels" in changes:
        _set_labels(session, job_id, changes["labels"])
    session.flush()
    return row


def remove(session: Session, job_id: str) -> list[str]:
    """Deletes the row of a job that has ended (or waits); what hangs on it goes too, a search's runners included.

    Returns the ids of the removed jobs: the caller deletes their files.
    """
    removed = lock_unneeded(session, job_id, TERMINAL | {JobState.QUEUED, JobState.PAUSED})
    session.execute(delete(JobRow).where(JobRow.id.in_(removed)))
    return removed


def lock_unneeded(session: Session, job_id: str, states: Iterable[JobState]) -> list[str]:
    """Locks a job that is in one of these states and that no other open job needs; returns its id and its runners'.

    Raises StateError in another state, and InUseError with the jobs that need it.
    """
    row = lock(session, job_id)
    if JobState(row.state) not in states:
        raise StateError(f"the job is {row.state}; cancel it first")
    ids = [row.id, *session.execute(runners_of(row.id)).scalars()]
    users = [user for user in files.users(session, [row.id]).get(row.id, []) if user not in ids]
    if users:
        raise InUseError("other jobs still need this one: " + ", ".join(users[:10]))
    return ids


def runners_of(job_id: str) -> Select[str]:
    """Ids of the jobs that run a search's trials beside it."""
    return select(JobRow.id).where(JobRow.parent_id == job_id, JobRow.kind == "tune-runner")


def list_page(
    session: Session,
    *,
    state: Sequence[str] = (),
    kind: Sequence[str] = (),
    label: Sequence[str] = (),
    dataset: Sequence[str] = (),
    parent: Sequence[str] = (),
    owner: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[JobRow], str | None]:
    """Newest first; each filter is any of its values, a label `key` or `key=value`; the cursor is the last id.

    Internal jobs are hidden unless their kind is asked for.
    """
    filters = {JobRow.state: state, JobRow.kind: kind, JobRow.dataset_id: dataset, JobRow.parent_id: parent}
    query = _newest_first(label, cursor).where(*(column.in_(values) for column, values in filters.items() if values))
    if owner:
        query = query.where(or_(*(owned_by(JobRow.owner, name) for name in owner)))
    if not kind:
        query = query.where(JobRow.kind.not_in(INTERNAL_KINDS))
    rows = list(session.execute(query.limit(limit + 1)).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def _newest_first(labels: Sequence[str], cursor: str | None) -> Select[JobRow]:
    """Jobs below the cursor, newest first; with one label, the labels' own index gives the order."""
    query, order = select(JobRow), JobRow.id
    if len(labels) == 1:
        query, order = query.join(LabelRow, LabelRow.job_id == JobRow.id).where(_is(labels[0])), LabelRow.job_id
    elif labels:
        query = query.where(JobRow.id.in_(select(LabelRow.job_id).where(or_(*map(_is, labels)))))
    if cursor is not None:
        query = query.where(order < cursor)
    return query.order_by(order.desc())


def _is(label: str) -> ColumnElement[bool]:
    key, has_value, value = label.partition("=")
    return and_(LabelRow.key == key, LabelRow.value == value) if has_value else LabelRow.key == key
