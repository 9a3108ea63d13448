"""The processes of an embedded service: broker, API and one worker, started and ended together under one HOME.

One that dies is started again. A lock on HOME keeps a second service away.
"""

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import click
import httpx

from service.embedded.broker import broker_command, end_stray_broker, has_started
from service.embedded.watchdog import VARIABLE
from service.settings import Settings
from service.store import workers
from service.store.migrate import upgrade
from service.store.session import Store

logger = logging.getLogger(__name__)
RESTART_SECONDS = 1.0
START_SECONDS = 120.0


class EmbeddedService:
    """Starts, keeps alive and ends the processes; use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        port = settings.port or free_port()
        self.settings = settings.model_copy(update={"port": port})
        self.environment = os.environ | {"TRAINWRIGHT_HOME": str(settings.home)}
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self.settings.port}"

    def __enter__(self) -> "EmbeddedService":
        self._lock = lock_home(self.settings.home)
        try:
            wait_for_port(self.settings.host, self.settings.port)
            store = Store(self.settings)
            upgrade(store.engine)
            store.close()
            for name in self._commands():
                self._start(name)
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends worker, API and broker in this order, so that the worker can hand its jobs back."""
        for name in ("worker", "api", "broker"):
            part = self.parts.pop(name, None)
            if part is not None:
                terminate(part, self.settings.grace_seconds + 10)
        if self._lock is not None:
            self._lock.close()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Keeps every part alive until `stopped`."""
        while not stopped():
            for name, part in list(self.parts.items()):
                if part.poll() is not None and time.monotonic() - self._started[name] > RESTART_SECONDS:
                    logger.warning("%s ended with code %s; starting it again", name, part.returncode)
                    terminate(part, 0)
                    self._start(name)
            time.sleep(0.2)

    def _commands(self) -> dict[str, list[str]]:
        commands = {} if self.settings.broker_url else {"broker": broker_command(self.settings.home)}
        address = ["--host", self.settings.host, "--port", str(self.settings.port)]
        return commands | {
            "api": [sys.executable, "-m", "service.cli.main", "api", *address],
            "worker": [sys.executable, "-m", "worker"],
        }

    def _start(self, name: str) -> None:
        """Starts a process; its standard input is a pipe from this one, and it ends when the pipe does."""
        if name == "broker":
            end_stray_broker(self.settings.home)
        with (self.settings.home / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(
                self._commands()[name],
                env=self.environment | {VARIABLE: "1"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
            )
        self._started[name] = time.monotonic()
        if name == "broker" and not has_started(self.settings.home, START_SECONDS):
            raise click.ClickException(f"the broker does not start; see {self.settings.home}/broker.log")

    def _wait_until_ready(self) -> None:
        """Waits until the API answers and the worker has registered; raises with the log of one that dies first."""
        last = time.monotonic() + START_SECONDS
        while time.monotonic() < last:
            for name, part in self.parts.items():
                if part.poll() is not None:
                    tail = (self.settings.home / f"{name}.log").read_text(errors="replace")[-2000:]
                    raise click.ClickException(f"the {name} ended at once (code {part.returncode}):\n{tail}")
            if self._is_ready():
                return
            time.sleep(0.05)
        raise click.ClickException(
            f"the service did not start within {START_SECONDS:.0f} s; see the logs in {self.settings.home}"
        )

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.is_success and self._has_worker()

    def _has_worker(self) -> bool:
        store = Store(self.settings)
        with store.read() as session:
            alive = workers.alive(session, self.settings.lease_seconds)
        store.close()
        return any(row.pid == self.parts["worker"].pid for row in alive)


def lock_home(home: Path) -> IO[str]:
    """Holds HOME until the file is closed; ClickException when a service holds it."""
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "service.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise click.ClickException(
            f"a service is running on {home} already (process {holder}); stop it, or give another folder with --home"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def terminate(process: "subprocess.Popen[bytes]", patience_seconds: float) -> None:
    """Asks a process to end, kills it when it does not in time, and then whatever else is in its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(host: str, port: int) -> None:
    """Waits until nothing listens on the port: the API of a service that has just crashed takes a moment to end."""
    for attempt in range(50):
        try:
            with socket.create_server((host, port)):
                return
        except OSError as error:
            reason = error
        time.sleep(0.1 if attempt else 0)
    raise click.ClickException(f"cannot listen on {host} port {port} ({reason.strerror}); give another one with --port")
