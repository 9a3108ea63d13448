"""An attempt that meets a full disk or loses its database is given back: the job waits, and no attempt is used up."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.jobs import queue
from service.settings import Settings
from service.states import JobState
from service.store.session import Store, now
from service.store.tables import JobRow
from tests.faults.campaign.volumes import Volume
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.store_client import StoreClient

STEADY = {"epochs": 30, "early_stopping": None, "checkpoint": {"every_steps": 50}}


@pytest.fixture(params=["home", "artifacts", "scratch"])
def volume(request: pytest.FixtureRequest, tmp_path: Path, home: Path, digits_home: Path) -> Iterator[Volume]:
    """A small volume in the place of that name, with the digits where they belong."""
    name: str = request.param
    volume = Volume(home if name == "home" else home / name, 64)
    if not volume.is_mounted:
        pytest.skip("this user may not mount a tmpfs")
    shutil.copytree(digits_home, home, dirs_exist_ok=True)
    yield volume
    volume.unmount()


@pytest.fixture
def disturbed(volume: Volume, home: Path) -> Iterator[StoreClient]:
    """A client of the service on that volume."""
    store = Store(Settings(home=home, lease_seconds=3, stop_poll_seconds=0.05, hold_seconds=60))
    yield StoreClient(store)
    store.close()


def test_a_job_waits_for_room_and_goes_on_as_if_nothing_had_been(volume: Volume, disturbed: StoreClient) -> None:
    client = disturbed
    expected = client.submit(**STEADY)
    Attempt(client.store, expected).run()
    job_id = client.submit(**STEADY)
    with Attempt(client.store, job_id) as attempt:
        client.seen(job_id, "checkpoint", role="last")
        with volume.filled():
            time.sleep(1)
            if volume.folder == client.store.settings.home:
                time.sleep(client.store.settings.lease_seconds)  # only then it can be written that the job waits
            else:
                held = client.reached(job_id, JobState.QUEUED)
                assert volume.folder.name in (reason_of(client, held) or "")
                assert attempt.end() == []
    row = client.reached(job_id, JobState.QUEUED)
    assert (row.attempt, row.lost_attempts, row.holds) == (1, 0, 1)
    with client.store.begin() as session:
        session.merge(row).held_until = now(session) - timedelta(seconds=1)
    Attempt(client.store, job_id).run()
    row = client.job(job_id)
    assert (row.state, row.lost_attempts, row.resume) == (JobState.SUCCEEDED, 0, "exact")
    assert client.series(job_id)["train/loss"] == client.series(expected)["train/loss"]
    assert client.files(job_id, "model") == client.files(expected, "model")


def reason_of(client: StoreClient, row: JobRow) -> str | None:
    """What people read of a job that waits."""
    with client.store.read() as session:
        place = queue.places(session, [row])[row.id]
    return place.reason
