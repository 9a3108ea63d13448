"""Rows of datasets as the reports that clients see."""

from sqlalchemy.orm import Session

from service.errors import Problem
from service.reports.dataset import DatasetReport
from service.states import DatasetState
from service.store import datasets
from service.store.tables import DatasetRow, JobRow


def dataset_report(session: Session, row: DatasetRow) -> DatasetReport:
    """One dataset; progress and error are its import job's."""
    job = session.get(JobRow, row.job_id)
    profile = datasets.profile(row)
    meta = profile.meta if profile else None
    return DatasetReport(
        id=row.id,
        name=row.name,
        state=DatasetState(row.state),
        progress=1.0 if row.state == DatasetState.READY else (job.progress if job else 0.0),
        hash=row.hash,
        classes=meta.classes if meta else [],
        counts=meta.counts if meta else {},
        modality=meta.modality if meta else None,
        shape=meta.shape if meta else [],
        job=row.job_id,
        parent=row.parent_id,
        owner=row.owner,
        created_at=row.created_at,
        error=Problem.model_validate(job.error) if job and job.error else None,
    )


def created_dataset(session: Session, row: DatasetRow) -> tuple[DatasetReport, list[str]]:
    """The report of a dataset that was just created, and the id of its import job, which can start now."""
    return dataset_report(session, row), [row.job_id]
