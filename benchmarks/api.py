"""The API with 100,000 jobs stored, asked by 50 clients at once."""

import http.client
import itertools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sqlalchemy import insert, select

from benchmarks.measure import Measure
from service.cli.client import Client
from service.embedded.processes import EmbeddedService, free_port
from service.ids import new_id
from service.settings import load_settings
from service.store.session import Store
from service.store.tables import JobRow

JOBS, CLIENTS, REQUESTS = 100_000, 50, 40


def measure() -> list[Measure]:
    """p95 of `GET /v1/jobs` and `GET /v1/jobs/{id}` at 50 concurrent clients, of one job and of one each."""
    with tempfile.TemporaryDirectory(prefix="tw-") as home:
        settings = load_settings().model_copy(update={"home": Path(home), "port": free_port()})
        with EmbeddedService(settings) as service:
            ids = _fill(settings.home, service.url)
            return [
                _p95("list jobs, p95 of 50 clients", service.url, ["/v1/jobs?limit=20"]),
                _p95("get a job, p95 of 50 clients", service.url, [f"/v1/jobs/{ids[0]}"]),
                _p95("get 50 different jobs, p95 of 50 clients", service.url, [f"/v1/jobs/{job_id}" for job_id in ids]),
            ]


def _fill(home: Path, url: str) -> list[str]:
    """One real job that has ended, and copies of its row; the ids of some."""
    client = Client(url)
    dataset = client.post("/v1/datasets", {"name": "digits", "source": {"kind": "builtin", "name": "digits"}})
    client.wait(f"/v1/datasets/{dataset['id']}", frozenset({"ready"}))
    job = client.post("/v1/jobs", {"kind": "train", "dataset": "digits", "epochs": 1})
    client.wait(f"/v1/jobs/{job['id']}", frozenset({"succeeded"}))
    store = Store(load_settings().model_copy(update={"home": home}))
    with store.begin() as session:
        row = session.execute(select(JobRow).where(JobRow.id == job["id"])).scalar_one()
        copy = {column.key: getattr(row, column.key) for column in JobRow.__table__.columns}
        ids = [new_id() for _ in range(JOBS)]
        session.execute(insert(JobRow), [copy | {"id": job_id} for job_id in ids])
    store.close()
    return [str(job["id"]), *ids[1 :: JOBS // (CLIENTS - 1)]]


def _p95(what: str, url: str, paths: list[str]) -> Measure:
    """Each client asks for one of the paths, again and again; `http.client` leaves the processor to the service."""
    times: list[float] = []

    def ask(path: str) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        for _ in range(REQUESTS):
            start = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - start)
            assert answer.status == 200, answer.reason
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, itertools.islice(itertools.cycle(paths), CLIENTS)))
    p95 = float(np.percentile(times, 95)) * 1000
    note = f"median {np.median(times) * 1000:.0f} ms, {JOBS:,} jobs, clients on the same cores"
    return Measure(what, p95, 25, "ms", at_least=False, note=note)
