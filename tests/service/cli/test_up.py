"""The embedded service: started with one command, kept alive, ended whole, taken up again."""

import os
import signal
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import torch

from service.embedded.broker import MAX_SOCKET_PATH, broker_command
from service.embedded.processes import terminate
from tests.polling import eventually
from tests.service.cli.service_process import ServiceProcess, command, environment
from tests.worker.attempt.processes import ROOT, children_of, has_ended
from tests.worker.importing.imports import two_classes

LONG = {"epochs": 60, "early_stopping": None, "checkpoint": {"every_steps": 20}}


@pytest.fixture
def service(home: Path) -> Iterator[ServiceProcess]:
    """A service with the digits."""
    with ServiceProcess(home) as running:
        imported = run(running, "datasets", "import", "digits")
        assert imported.returncode == 0, imported.stdout
        assert "10 classes" in imported.stdout
        yield running


def run(service: ServiceProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Another command of a user of the service."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(service.home) | {"TRAINWRIGHT_URL": service.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_a_job_is_submitted_and_watched_to_its_end(service: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kind: train\ndataset: digits\nepochs: 3\noptimizer: {lr: 3e-3}\n")
    watched = run(service, "submit", str(tmp_path / "job.yaml"), "--watch")
    assert watched.returncode == 0, watched.stdout
    assert "succeeded" in watched.stdout
    assert "test" in watched.stdout
    (job,) = httpx.get(f"{service.url}/v1/jobs").json()["data"]
    bundle = httpx.get(f"{service.url}/v1/jobs/{job['id']}/bundle").json()
    assert (bundle["versions"]["torch"], bundle["machine"]["gpu"]) == (torch.__version__, None)
    written = [path for path in service.home.rglob("*") if path.name != "up.log"]  # that one is the test's
    assert len(written) > 10
    assert [path for path in written if path.stat().st_mode & 0o077] == [], "readable by others"
    second = run(service, "up", "--port", "0")
    assert second.returncode == 1
    assert f"a service is running on {service.home} already (process {service.process.pid})" in second.stdout
    terminate(service.process, 60)
    assert service.process.returncode == 0
    assert not (service.home / "broker.sock").exists()


def test_parts_that_die_are_started_again_and_the_job_goes_on(service: ServiceProcess) -> None:
    job_id = service.submit(**LONG)
    eventually(lambda: service.client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"] or None)
    (server,) = children_of(service.part("broker"))
    for name in ("broker", "api", "worker"):
        part = service.part(name)
        os.kill(part, signal.SIGKILL)
        eventually(partial(has_ended, part))
    eventually(lambda: has_ended(server))
    assert service.ended(job_id)["state"] == "succeeded"
    assert service.ended(service.submit(epochs=1))["state"] == "succeeded"


def test_a_service_that_was_killed_takes_its_parts_along_and_goes_on_when_it_is_started_again(
    service: ServiceProcess,
) -> None:
    job_ids = [service.submit(**LONG), service.submit(epochs=1)]
    eventually(lambda: service.client.get(f"/v1/jobs/{job_ids[0]}/checkpoints").json()["data"] or None)
    parts = [service.part(name) for name in ("broker", "api", "worker")]
    service.process.kill()
    service.process.wait()
    with ServiceProcess(service.home) as again:
        assert [again.ended(job_id)["state"] for job_id in job_ids] == ["succeeded", "succeeded"]
    eventually(lambda: all(has_ended(part) for part in parts))


def test_a_port_that_is_taken_is_said(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            command("up", "--port", str(port)),
            cwd=ROOT,
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr


def test_a_home_too_long_for_a_socket_is_refused_with_advice() -> None:
    with pytest.raises(Exception, match="shorter --home"):
        broker_command(Path("/" + "x" * MAX_SOCKET_PATH))


def test_an_upload_goes_on_when_the_api_is_killed_midway(service: ServiceProcess, tmp_path: Path) -> None:
    files = two_classes() | {".padding": os.urandom(150 * 2**20)}
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    line = command("datasets", "import", str(tmp_path / "big.zip"))
    surroundings = environment(service.home) | {"TRAINWRIGHT_URL": service.url}
    with subprocess.Popen(line, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, text=True) as transfer:
        eventually(lambda: _arrived(service.home) > 2**24)
        os.kill(service.part("api"), signal.SIGKILL)
        said, _ = transfer.communicate()
    assert transfer.returncode == 0, said
    assert "2 classes" in said
    assert list((service.home / "uploads").glob("*.part")) == []
    eventually(lambda: list((service.home / "artifacts" / "uploads").iterdir()) == [])


def _arrived(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "uploads").glob("*.part"))
