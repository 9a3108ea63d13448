"""Submits jobs and reads what became of them, straight from the store."""

from dataclasses import dataclass
from typing import Any

from service.datasets import imports
from service.notify import notify_workers
from service.specs import JOB_SPEC
from service.specs.dataset import BuiltinSource
from service.states import JobState, is_terminal
from service.store import datasets, events, files, jobs, metrics, reports
from service.store.session import Store
from service.store.tables import EventRow, JobRow
from tests.polling import eventually


@dataclass(frozen=True)
class StoreClient:
    """A client of the jobs of one store."""

    store: Store

    def create_digits(self) -> str:
        """A dataset that waits for its import; returns the import's job id."""
        with self.store.begin() as session:
            return imports.create(session, "digits", BuiltinSource(kind="builtin")).job_id

    def submit(self, **spec: Any) -> str:
        """A queued job on the digits, a `train` job unless `kind` says otherwise. No worker is notified."""
        least = {"kind": "train"} if "train" in spec else {"kind": "train", "dataset": "digits"}
        parsed = JOB_SPEC.validate_python(least | spec)
        with self.store.begin() as session:
            return jobs.create(session, parsed, dataset_id=datasets.get(session, "digits").id).id

    def notify(self, *job_ids: str) -> None:
        """Notifies workers through the store's broker."""
        notify_workers(self.store, job_ids)

    def job(self, job_id: str) -> JobRow:
        """The job's row as it is now."""
        with self.store.read() as session:
            return jobs.get(session, job_id)

    def ended(self, job_id: str) -> JobRow:
        """The job's row once it has ended."""

        def look() -> JobRow | None:
            row = self.job(job_id)
            return row if is_terminal(JobState(row.state)) else None

        return eventually(look, lambda: f"{self.states(job_id)} {self.job(job_id).phase}")

    def reached(self, job_id: str, state: JobState) -> JobRow:
        """The job's row once it is in that state."""

        def look() -> JobRow | None:
            row = self.job(job_id)
            return row if row.state == state else None

        return eventually(look, lambda: f"{self.states(job_id)} {self.job(job_id).error}")

    def events(self, job_id: str, type: str | None = None) -> list[EventRow]:
        """The job's events."""
        with self.store.read() as session:
            return events.after(session, job_id, 0, 10_000, type=type)

    def states(self, job_id: str) -> list[str]:
        """The states the job went through."""
        return [event.data["state"] for event in self.events(job_id, "state")]

    def seen(self, job_id: str, type: str, **data: Any) -> EventRow:
        """The first event of that type with these data, once it is there."""

        def look() -> EventRow | None:
            matching = [event for event in self.events(job_id, type) if data.items() <= event.data.items()]
            return matching[0] if matching else None

        return eventually(look, lambda: f"{self.states(job_id)} {self.job(job_id).error}")

    def series(self, job_id: str) -> dict[str, list[tuple[int, float]]]:
        """Every series without its times."""
        with self.store.read() as session:
            series = metrics.read(session, job_id)
        return {name: list(zip(p["step"].tolist(), p["value"].tolist(), strict=True)) for name, p in series.items()}

    def report(self, job_id: str, name: str = "result") -> dict[str, Any]:
        """A report of the job."""
        with self.store.read() as session:
            report = reports.get(session, job_id, name)
        assert report is not None, f"no report {name}"
        return report

    def files(self, job_id: str, role: str) -> list[tuple[str, str]]:
        """Names and hashes of the job's files, the newest first."""
        with self.store.read() as session:
            return [(row.name, row.sha256) for row in files.of(session, job_id, role)]
