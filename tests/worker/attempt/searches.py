"""Searches of tiny networks on the digits, on each kind of database."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from service.reports.names import ReportName
from service.store import jobs, reports, studies
from service.store.session import Store
from tests.polling import Seen, eventually
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.store_client import StoreClient
from worker.engine.tune import storage as study_storage

LR = {"type": "categorical", "choices": [1e-6, 1e-2]}


def imported(store: Store) -> StoreClient:
    """A client whose digits are ready."""
    client = StoreClient(store)
    Attempt(store, client.create_digits()).run()
    return client


def search(client: StoreClient, *, epochs: int = 1, **fields: Any) -> str:
    """A queued search with one runner beside it; its first trial has the worse learning rate."""
    model = {"family": "mlp", "hidden": [16]}
    train = {"dataset": "digits", "epochs": epochs, "model": model, "optimizer": {"lr": 1e-6}, "early_stopping": None}
    spec = {"search_space": {"optimizer.lr": LR}, "sampler": "random", "pruner": "none", "parallelism": 2}
    return client.submit(kind="tune", train=train, **spec | fields)


def runner_of(client: StoreClient, job_id: str) -> str:
    """The job of the runner beside it, once there is one."""

    def look() -> str | None:
        with client.store.read() as session:
            return session.execute(jobs.runners_of(job_id)).scalars().first()

    return eventually(look, lambda: f"{client.states(job_id)} {client.job(job_id).error}")


def trials(client: StoreClient, job_id: str) -> list[dict[str, Any]]:
    """What is known of the trials so far."""
    with client.store.read() as session:
        rows = reports.of(session, job_id, ReportName.TRIAL).values()
    return sorted(rows, key=lambda trial: int(trial["number"]))


def completed(client: StoreClient, job_id: str, runner: str, more_than: int = 0) -> list[dict[str, Any]]:
    """The trials that a runner has completed, once there are more than that."""

    def look() -> list[dict[str, Any]] | None:
        complete = [row for row in trials(client, job_id) if (row["runner"], row["state"]) == (runner, "complete")]
        return complete if len(complete) > more_than else None

    return eventually(look, lambda: f"{trials(client, job_id)} {client.states(job_id)} {client.job(job_id).error}")


def stopped_in_a_trial(client: StoreClient, job_id: str, runner: str, pid: int) -> int:
    """Stops (SIGSTOP) the runner's process while it has a trial under way; returns the trial's number."""
    in_slices(pid, lambda: _has_runner(client, job_id) and is_unlocked(studies.address(client.store, job_id)))
    url = studies.address(client.store, job_id)
    storage = study_storage.open_storage(url)
    opened = optuna.load_study(study_name="tune", storage=storage)

    def look() -> tuple[int] | None:
        for trial in opened.get_trials(states=[TrialState.RUNNING]):
            if trial.user_attrs.get("runner") == runner and "values" in trial.user_attrs and is_unlocked(url):
                return (trial.number,)
        return None

    (number,) = in_slices(pid, look)
    storage.remove_session()
    storage.engine.dispose()
    return number


def in_slices(pid: int, look: Callable[[], Seen | None]) -> Seen:
    """What `look` finds while the process stands still; it runs for some milliseconds between two looks."""

    def slice_() -> Seen | None:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        return look()

    return eventually(slice_)


def _has_runner(client: StoreClient, job_id: str) -> bool:
    with client.store.read() as session:
        return session.execute(jobs.runners_of(job_id)).first() is not None


def is_unlocked(url: str) -> bool:
    """Whether another process may write: SQLite has one lock, and a stopped process keeps it."""
    if not url.startswith(study_storage.SQLITE):
        return True
    with closing(
        sqlite3.connect(url.removeprefix(study_storage.SQLITE), timeout=0, isolation_level=None)
    ) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True
