"""The API with 100,000 jobs stored, asked by 50 clients at once."""

import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy import insert, select

from benchmarks.measure import Measure
from service.cli.client import Client
from service.cli.embedded import Embedded, free_port
from service.settings import load_settings
from service.store.ids import new_id
from service.store.session import Store
from service.store.tables import JobRow

JOBS, CLIENTS, REQUESTS = 100_000, 50, 40


def measure() -> list[Measure]:
    """p95 of `GET /v1/jobs` and `GET /v1/jobs/{id}` at 50 concurrent clients."""
    with tempfile.TemporaryDirectory(prefix="tw-") as home:
        settings = load_settings().model_copy(update={"home": Path(home), "port": free_port()})
        with Embedded(settings) as service:
            job_id = _fill(settings.home, service.url)
            return [
                _p95("list jobs, p95 of 50 clients", f"{service.url}/v1/jobs?limit=20"),
                _p95("get a job, p95 of 50 clients", f"{service.url}/v1/jobs/{job_id}"),
            ]


def _fill(home: Path, url: str) -> str:
    """One real, cancelled job, and copies of its row."""
    client = Client(url)
    dataset = client.post("/v1/datasets", {"name": "digits", "source": {"kind": "builtin", "name": "digits"}})
    client.wait(f"/v1/datasets/{dataset['id']}", frozenset({"ready"}))
    job = client.post("/v1/jobs", {"kind": "train", "dataset": "digits", "epochs": 1})
    client.wait(f"/v1/jobs/{job['id']}", frozenset({"succeeded"}))
    store = Store(load_settings().model_copy(update={"home": home}))
    with store.begin() as session:
        row = session.execute(select(JobRow).where(JobRow.id == job["id"])).scalar_one()
        copy = {column.key: getattr(row, column.key) for column in JobRow.__table__.columns}
        session.execute(insert(JobRow), [copy | {"id": new_id()} for _ in range(JOBS)])
    store.close()
    return str(job["id"])


def _p95(what: str, url: str) -> Measure:
    times: list[float] = []

    def ask() -> None:
        with httpx.Client() as client:
            for _ in range(REQUESTS):
                start = time.perf_counter()
                client.get(url).raise_for_status()
                times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p95 = float(np.percentile(times, 95)) * 1000
    note = f"median {np.median(times) * 1000:.0f} ms, {JOBS:,} jobs, clients on the same cores"
    return Measure(what, p95, 25, "ms", at_least=False, note=note)
