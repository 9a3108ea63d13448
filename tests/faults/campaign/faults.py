"""The catalogue of faults: each disturbs a home while it is entered and is over afterwards, but for what has died."""

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from random import Random

import redis

from service.store.session import BUSY_TIMEOUT_MILLISECONDS
from service.store.tables import JobRow
from tests.faults.campaign.homes import LEASE_SECONDS, Home
from tests.faults.campaign.programs import job_of, kill
from tests.polling import eventually

SLOW_SECONDS = 0.3
LOCK_SECONDS = 0.3
Inject = Callable[[Home, Random], AbstractContextManager[object]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    inject: Inject
    may_cost_an_attempt: bool = False
    """Whether an attempt may be lost to it: the process that ran it died or stood still."""
    volume: str | None = None
    """Needs this volume to be a small one."""

    def is_possible(self, home: Home) -> bool:
        """Whether this home has what is to be disturbed."""
        if self.volume is not None:
            return self.volume in home.volumes and home.volumes[self.volume].is_mounted
        return self is not KILL_DATABASE or home.postgres is not None


@contextmanager
def _nothing(home: Home, rng: Random) -> Iterator[None]:
    yield


def _kill(part: str) -> Inject:
    @contextmanager
    def inject(home: Home, rng: Random) -> Iterator[None]:
        kill(signal.SIGKILL, rng.choice(home.processes(part)))
        yield

    return inject


@contextmanager
def _kill_children(home: Home, rng: Random) -> Iterator[None]:
    """One training process, or several at once."""
    children = eventually(lambda: home.training_processes() or None)
    kill(signal.SIGKILL, *rng.sample(children, rng.randint(1, len(children))))
    yield


@contextmanager
def _stop_child(home: Home, rng: Random) -> Iterator[None]:
    """One training process hangs; its supervisor kills it after `limits.stall_seconds`, which imports lack here."""
    kill(signal.SIGSTOP, rng.choice(eventually(lambda: _training(home) or None)))
    yield


def _training(home: Home) -> list[int]:
    return [pid for pid in home.training_processes() if _trains(home, pid)]


def _trains(home: Home, pid: int) -> bool:
    job_id = job_of(pid)
    with home.store.read() as session:
        row = session.get(JobRow, job_id) if job_id else None
    return row is not None and row.kind != "import"


@contextmanager
def _kill_database(home: Home, rng: Random) -> Iterator[None]:
    assert home.postgres is not None
    home.postgres.crash()
    time.sleep(rng.uniform(0, LEASE_SECONDS / 4))
    yield


@contextmanager
def _kill_everything(home: Home, rng: Random) -> Iterator[None]:
    home.kill_everything()
    yield


@contextmanager
def _stop_worker(home: Home, rng: Random) -> Iterator[None]:
    pid = rng.choice(home.processes("worker"))
    kill(signal.SIGSTOP, pid)
    try:
        yield
        time.sleep(LEASE_SECONDS + rng.uniform(1, 2))
    finally:
        kill(signal.SIGCONT, pid)


@contextmanager
def _flush_broker(home: Home, rng: Random) -> Iterator[None]:
    path = home.settings.broker.removeprefix("redis+socket://")
    with redis.Redis(unix_socket_path=path) as client:
        client.flushall()
    yield


@contextmanager
def _drain(home: Home, rng: Random) -> Iterator[None]:
    kill(signal.SIGTERM, rng.choice(home.processes("worker")))
    yield


def _fill(volume: str) -> Inject:
    @contextmanager
    def inject(home: Home, rng: Random) -> Iterator[None]:
        with home.volumes[volume].filled():
            yield
            time.sleep(rng.uniform(2, 5))

    return inject


@contextmanager
def _slow_database(home: Home, rng: Random) -> Iterator[None]:
    """Every request to PostgreSQL comes late; SQLite's only lock is held most of the time."""
    seconds = rng.uniform(3, 6)
    if home.proxy is None:
        yield
        _hold_lock(home.settings.database.removeprefix("sqlite:///"), seconds)
        return
    home.proxy.delay_seconds = SLOW_SECONDS
    try:
        yield
        time.sleep(seconds)
    finally:
        home.proxy.delay_seconds = 0.0


def _hold_lock(path: str, seconds: float) -> None:
    last = time.monotonic() + seconds
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MILLISECONDS / 1000, isolation_level=None)) as connection:
        while time.monotonic() < last:
            with suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(LOCK_SECONDS)
                connection.execute("ROLLBACK")
            time.sleep(0.02)


KILL_DATABASE = Fault("kill -9 of the database", _kill_database)
FAULTS: tuple[Fault, ...] = (
    Fault("nothing", _nothing),
    Fault("kill -9 of training processes", _kill_children, may_cost_an_attempt=True),
    Fault("a training process that hangs", _stop_child, may_cost_an_attempt=True),
    Fault("kill -9 of a worker", _kill("worker"), may_cost_an_attempt=True),
    Fault("kill -9 of the API", _kill("api")),
    Fault("kill -9 of the broker", _kill("broker")),
    KILL_DATABASE,
    Fault("kill -9 of everything", _kill_everything, may_cost_an_attempt=True),
    Fault("a worker stopped past its lease", _stop_worker, may_cost_an_attempt=True),
    Fault("a flushed broker", _flush_broker),
    Fault("a worker drained", _drain),
    Fault("HOME full", _fill("home"), volume="home"),
    Fault("the artifacts' volume full", _fill("artifacts"), volume="artifacts"),
    Fault("the scratch volume full", _fill("scratch"), volume="scratch"),
    Fault("a slow database", _slow_database),
)
