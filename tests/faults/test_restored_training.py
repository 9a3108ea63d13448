"""A backup that is made in the middle of a training: it goes on from there, and a worker from before writes nothing."""

import os
import signal
from pathlib import Path

import pytest

from service.settings import Settings
from service.states import JobState
from service.store import attempts
from service.store.attempts import LostLeaseError
from service.store.session import Store
from service.upkeep.backup import back_up
from service.upkeep.fencing import JUMP
from service.upkeep.restore import restore
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.store_client import StoreClient

SHORT = {"epochs": 12, "early_stopping": None, "checkpoint": {"every_steps": 20}}


def test_a_training_goes_on_from_a_backup_and_its_worker_from_before_writes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    client = StoreClient(Store(settings))
    whole, job_id = client.submit(**SHORT), client.submit(**SHORT)
    Attempt(client.store, whole).run()
    with Attempt(client.store, job_id) as before:
        client.seen(job_id, "checkpoint", role="last")
        os.kill(before.child(), signal.SIGSTOP)  # it is in the middle however slow this machine is
        back_up(client.store, tmp_path / "backup")
        restore(settings, tmp_path / "backup", replace=True)
    with pytest.raises(LostLeaseError), client.store.begin() as session:
        attempts.lock(session, before.claim.fence)
    row = client.job(job_id)
    assert (row.state, row.attempt, row.lost_attempts) == (JobState.QUEUED, JUMP + 1, 0)
    assert "end" not in {event.type for event in client.events(job_id)}

    elsewhere = Settings(home=tmp_path / "home", stop_poll_seconds=0.05)
    restore(elsewhere, tmp_path / "backup")
    for settings_of_home in (settings, elsewhere):
        restored = StoreClient(Store(settings_of_home))
        Attempt(restored.store, job_id).run()
        row = restored.job(job_id)
        assert (row.state, row.attempt) == (JobState.SUCCEEDED, JUMP + 2), row.error
        assert restored.events(job_id, "resumed")
        assert restored.series(job_id) == client.series(whole)
        assert restored.files(job_id, "model") == client.files(whole, "model")
        restored.store.close()
    client.store.close()
