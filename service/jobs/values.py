"""Values of earlier jobs in the place of `from_job` references to them, once those jobs have ended."""

from typing import Any

from sqlalchemy.orm import Session

from service.errors import UnfitSpecError
from service.reports.names import ReportName
from service.specs import STORED_SPEC, AnyStoredSpec
from service.specs.part import FromJob
from service.specs.tune import SearchFields
from service.store import reports


def fill_references(session: Session, spec: AnyStoredSpec) -> AnyStoredSpec:
    """The spec with every reference replaced; UnfitSpecError when a job has no such value."""
    if isinstance(spec, SearchFields):
        changes: dict[str, Any] = {}
        if inner := _referenced_values(session, spec.train):
            changes["train"] = spec.train.model_dump() | inner
        if isinstance(spec.lr_find, FromJob):
            changes["lr_find"] = _value_of(session, spec.lr_find.from_job, "suggested")
    else:
        changes = _referenced_values(session, spec)
    return STORED_SPEC.validate_python(spec.model_dump() | changes) if changes else spec


def _referenced_values(session: Session, part: object) -> dict[str, Any]:
    """The fields of a training part that refer to another job, with the value from its result."""
    changes: dict[str, Any] = {}
    optimizer = getattr(part, "optimizer", None)
    if optimizer is not None and isinstance(optimizer.lr, FromJob):
        source = optimizer.lr.from_job
        changes["optimizer"] = optimizer.model_dump() | {"lr": _value_of(session, source, "suggested")}
    batch_size = getattr(part, "batch_size", None)
    if isinstance(batch_size, FromJob):
        changes["batch_size"] = _value_of(session, batch_size.from_job, "recommended")
    return changes


def _value_of(session: Session, job_id: str, name: str) -> float | int:
    """A number from a job's result."""
    result = reports.get(session, job_id, ReportName.RESULT) or {}
    value = result.get(name)
    if not isinstance(value, int | float):
        raise UnfitSpecError(f"job {job_id} has no result named {name}")
    return value
