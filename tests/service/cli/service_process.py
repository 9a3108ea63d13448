"""`trainwright up` as a process of its own, and its parts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import httpx

from service.embedded.processes import free_port, terminate
from tests.polling import PATIENCE_SECONDS, eventually
from tests.worker.attempt.processes import ROOT, children_of


def command(*arguments: str) -> list[str]:
    """The command line as users call it."""
    return [sys.executable, "-m", "service.cli.main", *arguments]


def environment(home: Path) -> dict[str, str]:
    """Short times; one CPU thread."""
    short = {"LEASE_SECONDS": "3", "SWEEP_SECONDS": "0.3", "RENOTIFY_SECONDS": "0.3", "HOME": str(home)}
    return {**os.environ, "OMP_NUM_THREADS": "1", **{f"TRAINWRIGHT_{name}": value for name, value in short.items()}}


class ServiceProcess:
    """An embedded service on a HOME; ends with its context."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self.port = home, free_port()
        self._settings = {f"TRAINWRIGHT_{name.upper()}": value for name, value in settings.items()}
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._output = (self.home / "up.log").open("ab")
        self.process = subprocess.Popen(
            command("up", "--port", str(self.port)),
            cwd=ROOT,
            env=environment(self.home) | self._settings,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        eventually(self._is_up, lambda: (self.home / "up.log").read_text())
        self.client = httpx.Client(base_url=self.url, timeout=30)
        return self

    def _is_up(self) -> bool:
        assert self.process.poll() is None, (self.home / "up.log").read_text()
        return "Trainwright is up" in (self.home / "up.log").read_text()

    def __exit__(self, *_: object) -> None:
        self.client.close()
        terminate(self.process, PATIENCE_SECONDS)
        self._output.close()

    def part(self, name: str) -> int:
        """The process of a part: `api`, `worker` or `broker`, once there is one."""
        marks = {"api": b"\0api\0", "worker": b"\0worker\0", "broker": b"service.embedded.broker"}

        def look() -> int | None:
            for child in children_of(self.process.pid):
                line = Path(f"/proc/{child}/cmdline").read_bytes()
                if marks[name] in line:
                    return child
            return None

        return eventually(look)

    def submit(self, **spec: object) -> str:
        """A job on the digits, a `train` job unless `kind` says otherwise."""
        least = {"kind": "train"} if "train" in spec else {"kind": "train", "dataset": "digits"}
        response = self.client.post("/v1/jobs", json=least | spec)
        assert response.status_code == 202, response.text
        job_id: str = response.json()["id"]
        return job_id

    def ended(self, job_id: str) -> dict[str, object]:
        """The job once it has ended; the API may be away meanwhile."""

        def look() -> dict[str, object] | None:
            try:
                job: dict[str, object] = self.client.get(f"/v1/jobs/{job_id}").json()
            except httpx.TransportError:
                return None
            return job if job["state"] in ("succeeded", "failed", "cancelled") else None

        return eventually(look, lambda: (self.home / "worker.log").read_text())
