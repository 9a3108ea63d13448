"""The job that follows from a finding: its remedy applied to the spec, submitted, and whether that helped."""

from typing import Any

from sqlalchemy.orm import Session

from service.diagnosis.judge import diagnose
from service.errors import InvalidRequestError
from service.jobs.run_record import run_record
from service.jobs.submit import Create, Submission, dry_run, prepare, submitted_spec
from service.reports.finding import Finding
from service.reports.resolution import DryRunReport
from service.resolution.patches import patched_spec
from service.settings import Settings
from service.specs import AnyJobSpec
from service.states import JobState, Relation, is_terminal
from service.store import findings, jobs, metrics
from service.store.jobs import Parent
from service.store.tables import FindingRow, JobRow


def apply(session: Session, settings: Settings, job_id: str, finding: Finding) -> Create:
    """Submits the job's spec with the remedy's patch, as a follow-up that the finding is linked to.

    Raises InvalidRequestError when no change of the spec can help.
    """
    spec = _remedied_spec(session, job_id, finding)
    create = prepare(session, settings, spec, parent=Parent(job_id, Relation.FOLLOW_UP))

    def create_linked(writing: Session) -> Submission:
        submission = create(writing)
        findings.link(writing, job_id, finding, submission.report.id)
        return submission

    return create_linked


def preview(session: Session, settings: Settings, job_id: str, finding: Finding) -> DryRunReport:
    """What `apply` would submit, without submitting it."""
    return dry_run(session, settings, _remedied_spec(session, job_id, finding))


def outcome(session: Session, row: FindingRow) -> dict[str, Any] | None:
    """Whether the follow-up job helped: is the finding gone, and what did the best validation numbers do?"""
    child = session.get(JobRow, row.child_id) if row.child_id else None
    if child is None:
        return None
    state = JobState(child.state)
    facts: dict[str, Any] = {"job": child.id, "state": state}
    record = run_record(session, child)
    if record is None or not is_terminal(state):
        return facts | {"text": outcome_text(row.rule, state, None, None, None)}
    before, after = _best_val_accuracy(session, row.job_id), _best_val_accuracy(session, child.id)
    is_gone = row.rule not in {finding.rule for finding in diagnose(record).findings}
    has_improved = before is not None and after is not None and after > before
    return facts | {
        "text": outcome_text(row.rule, state, is_gone, before, after),
        "finding_gone": is_gone,
        "best_val_accuracy_before": before,
        "best_val_accuracy_after": after,
        "helped": state is JobState.SUCCEEDED and is_gone and (has_improved or before is None),
    }


def outcome_text(rule: str, state: JobState, is_gone: bool | None, before: float | None, after: float | None) -> str:
    """One or two sentences for a person; accuracies are shares, `is_gone` is None where nothing could be judged."""
    if not is_terminal(state):
        return f"The follow-up job is {state}; whether it helps is told when it has ended."
    if state is not JobState.SUCCEEDED or is_gone is None:
        return f"The follow-up job ended as {state}, so it cannot be said whether the change helps."
    finding = f"{rule} is no longer found" if is_gone else f"{rule} is still found"
    if before is None or after is None:
        reached = "" if after is None else f", and validation accuracy reached {100 * after:.1f} %"
        return f"{'It helped' if is_gone else 'It did not help'}: {finding}{reached}."
    moved = _moved(before, after)
    if is_gone and after > before:
        return f"It helped: {finding}, and the best validation accuracy {moved}."
    if is_gone:
        return f"It helped only in part: {finding}, but the best validation accuracy {moved}."
    return f"It did not help: {finding}. The best validation accuracy {moved}."


def _moved(before: float, after: float) -> str:
    points = 100 * (after - before)
    if abs(points) < 0.05:
        return f"stayed at {100 * after:.1f} %"
    way = "rose" if points > 0 else "fell"
    return f"{way} by {abs(points):.1f} points, from {100 * before:.1f} to {100 * after:.1f} %"


def _remedied_spec(session: Session, job_id: str, finding: Finding) -> AnyJobSpec:
    if not finding.remedy.patch:
        raise InvalidRequestError(f"No change of the spec can help here: {finding.remedy.text}")
    return patched_spec(submitted_spec(jobs.get(session, job_id)), finding.remedy.patch)


def _best_val_accuracy(session: Session, job_id: str) -> float | None:
    values = [row.data["val"].get("accuracy") for row in metrics.epochs(session, job_id)]
    return max((value for value in values if isinstance(value, int | float)), default=None)
