"""Optuna's storage of a search's trials, and how a trial that is run again is forgotten in it."""

import sqlite3

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialParamModel, TrialSystemAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial

SQLITE = "sqlite:///"
RUNGS, QUEUED_PARAMETERS = "completed_rung_", "fixed_params"
"""System attributes of a trial: what successive halving and Hyperband remember, and what it was queued with."""


def open_storage(url: str) -> RDBStorage:
    """The storage at `url`. A SQLite file is written ahead and synced at its checkpoints only: five times as fast, and
    a killed process still loses nothing.
    """
    options: dict[str, object] = {"pool_pre_ping": True}
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        options["creator"] = lambda: _connect(path)
    return RDBStorage(url, engine_kwargs=options)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def forget(storage: RDBStorage, trial: FrozenTrial, *, is_suggested: bool) -> None:
    """Deletes what a trial has reported, for which Optuna has no call; and what has been suggested, unless that is
    complete. (GP would take notes of its own about a suggestion for another trial that is running.)
    """
    attributes = TrialSystemAttributeModel
    with _create_scoped_session(storage.scoped_session) as session:
        session.query(TrialIntermediateValueModel).filter_by(trial_id=trial._trial_id).delete()
        notes = session.query(attributes).filter_by(trial_id=trial._trial_id)
        if is_suggested:
            notes.filter(attributes.key.startswith(RUNGS)).delete()
            return
        notes.filter(attributes.key != QUEUED_PARAMETERS).delete()
        session.query(TrialParamModel).filter_by(trial_id=trial._trial_id).delete()
