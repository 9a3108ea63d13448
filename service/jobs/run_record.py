"""What is stored of a training, as the record that the rules of the diagnosis judge."""

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from service.diagnosis.record import FIRST_POINTS, LAST_POINTS, Epoch, RunRecord, Series, is_judged
from service.reports.names import ReportName
from service.reports.result import CheckupReport
from service.resolution.defaults import filled
from service.specs.train import TrainSpec
from service.states import JobState, StopReason, is_terminal
from service.store import datasets, metrics, reports
from service.store.tables import DatasetRow, EpochRow, JobRow

if TYPE_CHECKING:
    from service.store.points import Points


def run_record(session: Session, job: JobRow) -> RunRecord | None:
    """Everything recorded about a `train` job; None for jobs of other kinds."""
    if job.kind != "train":
        return None
    dataset = session.get(DatasetRow, job.dataset_id) if job.dataset_id else None
    checkup = reports.get(session, job.id, ReportName.CHECKUP)
    names = [name for name in metrics.names(session, job.id) if is_judged(name)]
    series = metrics.read(session, job.id, names) if names else {}
    profile = datasets.profile(dataset) if dataset else None
    return RunRecord(
        spec=filled(TrainSpec.model_validate(job.spec), profile.meta if profile else None),
        epochs=tuple(_epoch(row) for row in metrics.epochs(session, job.id)),
        series={name: _series(points) for name, points in series.items()},
        checkup=CheckupReport.model_validate(checkup) if checkup else None,
        profile=profile,
        stop_reason=StopReason(job.stop_reason) if job.stop_reason else None,
        ended=is_terminal(JobState(job.state)),
    )


def _series(points: "Points") -> Series:
    """The beginning, the end, and the first value that is not finite."""
    from service.store.points import ends  # NumPy is slow to import

    points = ends(points, FIRST_POINTS, LAST_POINTS)
    return Series(tuple(points["step"].tolist()), tuple(points["value"].tolist()))


def _epoch(row: EpochRow) -> Epoch:
    parts = {
        part: {name: float(value) for name, value in row.data[part].items()} for part in ("train", "val", "probes")
    }
    return Epoch(number=row.epoch, step=row.step, lr=row.data["lr"], **parts)
