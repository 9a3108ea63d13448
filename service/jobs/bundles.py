"""Runs as a whole: the bundle that reproduces one, and several compared."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from sqlalchemy.orm import Session

from service.errors import UnfitSpecError
from service.jobs.reports import checkpoint_report, files_deleted, job_report
from service.jobs.results import curves
from service.jobs.values import fill_references
from service.reports.names import ReportName
from service.reports.record import Bundle, ComparedJob, Comparison
from service.specs import STORED_SPEC
from service.store import files, findings, jobs, reports
from service.store.tables import DatasetRow, JobRow


def bundle(session: Session, job_id: str) -> Bundle:
    """Resolved spec, dataset hash, seeds, versions and metrics: enough to reproduce the run."""
    row = jobs.get(session, job_id)
    stored = reports.of(session, job_id)
    environment = stored.pop(ReportName.ENVIRONMENT, {"versions": {}, "machine": None})
    return Bundle(
        job=row.id,
        kind=row.kind,
        created_at=row.created_at,
        spec=_with_values(session, row),
        dataset=_dataset(session, row),
        seeds={path: value for path, value in _leaves(row.spec).items() if path.rpartition(".")[2] == "seed"},
        versions={"trainwright": version("trainwright"), **environment["versions"]},
        machine=environment["machine"],
        reports=stored,
        curves=curves(session, job_id),
        files=[checkpoint_report(file) for file in files.of(session, job_id)],
        files_deleted=files_deleted(session, [job_id]).get(job_id),
    )


def compare(session: Session, job_ids: Sequence[str]) -> Comparison:
    """Runs side by side: results, curves, and where their specs differ."""
    data = [
        ComparedJob(
            job=job_report(session, job_id),
            curves=curves(session, job_id),
            findings=findings.count_active(session, job_id),
        )
        for job_id in job_ids
    ]
    return Comparison(data=data, differences=_differences([compared.job.spec for compared in data]))


def _with_values(session: Session, row: JobRow) -> dict[str, Any]:
    """The spec with the values that it took from other jobs; as it is stored while there are none yet."""
    try:
        return fill_references(session, STORED_SPEC.validate_python(row.spec)).model_dump(mode="json")
    except UnfitSpecError:
        return row.spec


def _dataset(session: Session, row: JobRow) -> dict[str, Any]:
    dataset = session.get(DatasetRow, row.dataset_id) if row.dataset_id else None
    if dataset is None:
        return {}
    importer = session.get(JobRow, dataset.job_id)
    source = importer.spec.get("source") if importer else None
    return {"id": dataset.id, "name": dataset.name, "hash": dataset.hash, "source": source}


def _differences(specs: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Dotted path -> the value in each spec, where not all are the same."""
    leaves = [_leaves(spec) for spec in specs]
    rows = {path: [leaf.get(path) for leaf in leaves] for path in sorted(set().union(*leaves))}
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values)}


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Dotted path -> value of everything that is not an object; lists count as values."""
    if not isinstance(node, dict) or not node:
        return {path: node}
    return {
        below: value
        for name, child in node.items()
        for below, value in _leaves(child, f"{path}.{name}" if path else str(name)).items()
    }
