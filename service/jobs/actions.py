"""What people, and jobs that lead others, do to a stored job: cancel, pause, resume, retry, clone, relabel, delete.

Those that let jobs start return their ids too; the caller notifies the workers once the transaction has committed.
"""

from typing import Any

from sqlalchemy.orm import Session

from service.errors import InUseError, StateError
from service.jobs import completion, transitions
from service.jobs.reports import job_report
from service.jobs.submit import Create, prepare, submitted_spec
from service.reports.job import JobReport
from service.resolution.patches import errors_in_patch, patched_spec
from service.settings import Settings
from service.specs.requests import JobChanges
from service.specs.training import LimitsSpec
from service.states import TERMINAL, JobState, Relation, is_terminal
from service.store import dependencies, events, files, jobs, studies
from service.store.events import NewEvent
from service.store.jobs import Parent
from service.store.session import Store


def cancel(session: Session, job_id: str) -> tuple[JobReport, list[str]]:
    """A waiting or paused job ends at once, with what waited for it; a running one is asked to stop."""
    row = transitions.request_cancel(session, job_id)
    startable = completion.update_dependents(session, job_id) if is_terminal(JobState(row.state)) else []
    return job_report(session, job_id), startable


def pause(session: Session, job_id: str) -> JobReport:
    """A waiting job is paused at once, a running one after a checkpoint."""
    transitions.request_pause(session, job_id)
    return job_report(session, job_id)


def resume(session: Session, job_id: str, limits: LimitsSpec | None = None) -> tuple[JobReport, list[str]]:
    """A paused job queues again and goes on from its last checkpoint, with the limits that `limits` sets."""
    transitions.resume(session, job_id, limits)
    return job_report(session, job_id), [job_id]


def retry(session: Session, settings: Settings, job_id: str) -> Create:
    """Submits a failed or cancelled job again, as a follow-up with the same spec."""
    row = jobs.get(session, job_id)
    if row.state not in (JobState.FAILED, JobState.CANCELLED):
        raise StateError(f"the job is {row.state}; only a failed or cancelled job can be retried")
    return prepare(session, settings, submitted_spec(row), parent=Parent(job_id, Relation.FOLLOW_UP))


def clone(session: Session, settings: Settings, job_id: str, patch: dict[str, Any]) -> Create:
    """Submits a job's spec again, as a follow-up; `patch` sets new values by their dotted paths."""
    spec = patched_spec(submitted_spec(jobs.get(session, job_id)), patch)
    with errors_in_patch(patch):
        return prepare(session, settings, spec, parent=Parent(job_id, Relation.FOLLOW_UP))


def relabel(session: Session, job_id: str, changes: JobChanges) -> JobReport:
    """Changes the name, labels or priority that `changes` sets."""
    jobs.relabel(session, job_id, **changes.model_dump(include=changes.model_fields_set))
    return job_report(session, job_id)


def delete(store: Store, job_id: str, *, force: bool = True) -> None:
    """Deletes a job that has ended or waits, with its files; a search with its runners and its study.

    Raises InUseError where others took values from it, unless `force` says that they may lose where those came from.
    """
    with store.begin() as session:
        takers = [] if force else dependencies.took_values_from(session, job_id)
        if takers:
            told = ", ".join(takers[:10])
            raise InUseError(f"these jobs took values from it, and could not be reproduced: {told}; `force` deletes it")
        is_search = jobs.get(session, job_id).kind == "tune"
        deleted = jobs.remove(session, job_id)
        for deleted_id in deleted:
            files.remove(session, deleted_id)
    _delete_artifacts(store, deleted)
    if is_search:
        studies.remove(store, job_id)


def delete_files(store: Store, job_id: str, *, actor: str, reason: str) -> None:
    """Deletes the files of a job that has ended and keeps its record, with an event; a search's with its runners'.

    Raises StateError when it has not ended, and InUseError when an open job needs them.
    """
    with store.begin() as session:
        owner_ids = jobs.lock_unneeded(session, job_id, TERMINAL)
        size = sum(sum(roles.values()) for roles in files.sizes(session, owner_ids).values())
        for owner_id in owner_ids:
            files.remove(session, owner_id)
        if size:
            events.append(session, job_id, [NewEvent(files.DELETED, {"actor": actor, "reason": reason, "bytes": size})])
    _delete_artifacts(store, owner_ids)


def _delete_artifacts(store: Store, job_ids: list[str]) -> None:
    """After the commit: a row never names a file that is gone."""
    for job_id in job_ids:
        store.artifacts.delete(f"jobs/{job_id}")
