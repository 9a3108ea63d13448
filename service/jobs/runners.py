"""The runners of a search: internal jobs that share its study, one a worker slot. Their own row is their lifecycle.

They are paused, cancelled and put back into the queue with the search and end with it (see `transitions`); what
they have found is in the study. Whatever becomes of them, the search can finish alone.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from service.jobs import transitions
from service.specs.tune import SearchFields, TuneRunnerSpec
from service.states import TERMINAL, JobState, Relation
from service.store import jobs
from service.store.jobs import Parent
from service.store.tables import FileRow, JobRow

ENDED = [str(state) for state in TERMINAL]


def start(session: Session, job_id: str, spec: SearchFields, count: int) -> list[str]:
    """Lets `count` runners wait or run; returns the ids of those that wait. Call it under the search's fence."""
    query = select(JobRow).where(JobRow.id.in_(jobs.runners_of(job_id)), JobRow.state.not_in(ENDED))
    runners = {row.spec["number"]: row for row in session.execute(query.with_for_update()).scalars()}
    search, parent = jobs.get(session, job_id), Parent(job_id, Relation.CHILD)
    for number in range(2, count + 2):
        if number not in runners:
            runner = TuneRunnerSpec.of(spec, job_id, number)
            runners[number] = jobs.create(session, runner, dataset_id=search.dataset_id, parent=parent)
        elif runners[number].state == JobState.PAUSED:
            transitions.resume(session, runners[number].id)
    return [row.id for row in runners.values() if row.state == JobState.QUEUED]


def file_of(session: Session, job_id: str, name: str) -> FileRow | None:
    """The file of that name of one of a search's runners."""
    query = select(FileRow).where(FileRow.owner_id.in_(jobs.runners_of(job_id)), FileRow.name == name)
    return session.execute(query).scalars().first()


def delete_files(session: Session) -> list[str]:
    """Drops the files of runners whose search has ended: the best trial's are the search's own by then.

    Returns the artifact keys to delete after commit.
    """
    search = aliased(JobRow)
    spent = (
        select(JobRow.id)
        .join(search, search.id == JobRow.parent_id)
        .where(JobRow.kind == "tune-runner", JobRow.state.in_(ENDED), search.state.in_(ENDED))
    )
    rows = session.execute(select(FileRow).where(FileRow.owner_id.in_(spent))).scalars().all()
    for row in rows:
        session.delete(row)
    return [row.artifact for row in rows]
