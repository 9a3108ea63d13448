"""Health, readiness, statistics, workers, queue, catalog, pages."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.catalog.architectures import ARCHITECTURES
from service.settings import Settings
from service.store import workers
from service.store.session import Store
from tests.service.api.conftest import client_of
from tests.service.api.server import Server
from tests.service.simulated_worker import WORKER, SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits"}


@pytest.fixture
def connected(sqlite_url: str, home: Path, broker_url: str) -> Iterator[httpx.Client]:
    """A client of a service with a real broker."""
    settings = Settings(home=home, database_url=sqlite_url, broker_url=broker_url)
    with Server(settings) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    ("revision", "advice"), [("0001", "run `trainwright migrate`"), ("9999", "upgrade the program")]
)
def test_another_versions_schema_is_read_and_not_written(server_to_break: Server, revision: str, advice: str) -> None:
    def exchange(revision: str) -> str:
        with server_to_break.store.begin() as session:
            current: str = session.connection().exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
            session.connection().exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        return current

    current = exchange(revision)
    try:
        with client_of(server_to_break) as client:
            for refused in (client.post("/v1/jobs", json=LEAST), client.get("/readyz")):
                assert (refused.status_code, refused.json()["code"]) == (503, "schema-outdated")
                assert advice in refused.json()["detail"]
            assert client.get("/v1/jobs").json()["data"] == []
    finally:
        exchange(current)


def test_a_worker_of_another_version_is_shown(client: httpx.Client, store: Store) -> None:
    with store.begin() as session:
        for number in (1, 2):
            workers.register(session, f"w{number}", host="box", pid=number, slots=1, devices=[])
    assert client.get("/readyz").json()["checks"]["workers"] == "2 alive, of this version"
    with store.begin() as session:
        workers.listed(session)[0].version = "0.0.9"
    skewed = {
        worker["name"]: (worker["version"], worker["skewed"]) for worker in client.get("/v1/workers").json()["data"]
    }
    assert skewed == {"box:1": ("0.0.9", True), "box:2": (workers.PROGRAM, False)}
    assert "box:1 (0.0.9)" in client.get("/readyz").json()["checks"]["workers"]


def test_importing_the_api_loads_neither_torch_nor_what_is_needed_later() -> None:
    code = (
        "import sys, service.api.app;"
        "late = {'torch', 'torchvision', 'optuna', 'matplotlib', 'celery', 'alembic', 'worker'} & set(sys.modules);"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_health_and_readiness(connected: httpx.Client) -> None:
    assert connected.get("/healthz").json()["status"] == "ok"
    ready = connected.get("/readyz").json()
    assert (ready["status"], ready["checks"]["broker"]) == ("ready", "answers")


def test_a_lost_broker_degrades(client: httpx.Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


def test_a_lost_schema_is_not_ready(server_to_break: Server) -> None:
    def rename(old: str, new: str) -> None:
        with server_to_break.store.begin() as session:
            session.connection().exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("alembic_version", "lost")
    response = httpx.get(f"{server_to_break.url}/readyz")
    rename("lost", "alembic_version")
    assert (response.status_code, response.json()["code"]) == (503, "schema-outdated")
    assert "retry-after" in response.headers


def test_statistics_are_in_prometheus_format(client: httpx.Client) -> None:
    client.post("/v1/jobs", json=LEAST)
    text = client.get("/metrics").text
    assert 'trainwright_jobs{state="queued"} 2' in text
    assert 'trainwright_requests_total{method="POST",status="202"} 1' in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+', line), line


def test_storage_is_shown_by_kind(client: httpx.Client, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    report = client.get("/v1/storage").json()
    size = sum(file.stat().st_size for file in worker.store.settings.home.glob(f"artifacts/jobs/{dataset.id}/*"))
    assert report["bytes_by_kind"]["dataset"] == size > 0
    assert report["bytes_by_kind"]["records"] > 0


def test_workers_and_queue(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    with worker.store.begin() as session:
        workers.register(session, WORKER, host="box", pid=7, slots=2, devices=[{"name": "cpu"}])
    running, waiting = (client.post("/v1/jobs", json=LEAST).json()["id"] for _ in range(2))
    worker.claim(running)
    shown = client.get("/v1/workers").json()["data"][0]
    assert (shown["name"], shown["state"], shown["device"], shown["jobs"]) == ("box:7", "alive", "cpu", [running])
    queue = client.get("/v1/queue").json()["data"]
    assert [(job["job"], job["position"], job["reason"]) for job in queue] == [(waiting, 1, "waits for a free worker")]
    assert client.post(f"/v1/workers/{WORKER}/drain").json()["state"] == "draining"
    assert client.post("/v1/workers/none/drain").status_code == 404


def test_the_catalog_begins_with_the_architectures_that_are_used_most(client: httpx.Client) -> None:
    body = client.get("/v1/architectures").json()
    assert [(architecture["name"], architecture["top1"]) for architecture in body["data"][:6]] == [
        ("resnet18", 69.8),
        ("resnet50", 76.1),
        ("efficientnet_b0", 77.1),
        ("efficientnet_b4", 82.9),
        ("vit_b_16", 81.8),
        ("convnext_base", 83.8),
    ]
    assert [mode["mode"] for mode in body["modes"]] == ["feature_extraction", "partial", "full"]
    assert len(body["data"]) == len(ARCHITECTURES) == 80
    assert all(architecture["usage"] for architecture in body["data"])
    assert client.get("/v1/known-datasets").json()["data"][0]["name"] == "digits"
    presets = {preset["name"]: preset["operations"] for preset in client.get("/v1/augmentations").json()["data"]}
    assert [op["op"] for op in presets["light"]] == ["horizontal_flip", "crop"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert parts
    for part in parts:
        assert part.startswith("/"), part
        assert client.get(part).status_code == 200, part
    assert "<script>" not in page.text
