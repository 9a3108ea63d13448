"""A small harness to tell the store's stories in: one store, some workers, jobs by kind."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.jobs import completion
from service.specs import STORED_SPEC, AnyStoredSpec
from service.states import JobState
from service.store import attempts, jobs, reports
from service.store.attempts import Claim, Fence
from service.store.session import Store
from service.store.tables import JobRow
from tests.service.simulated_worker import SimulatedWorker


def spec(kind: str = "train", **fields: Any) -> AnyStoredSpec:
    """A spec of that kind; a training's is resolved as for a table."""
    model = {"model": {"family": "mlp"}} if kind in ("train", "sanity", "lr-find", "batch-size") else {}
    return STORED_SPEC.validate_python({"kind": kind, "dataset": "digits", **model, **fields})


class Harness:
    """Each method is one short transaction, as the API and the workers make them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def submit(self, kind: str = "train", needs: Sequence[str] = (), **fields: Any) -> str:
        """A queued job; returns its id."""
        with self.store.begin() as session:
            return jobs.create(session, spec(kind, **fields), needs=[(need, "requires") for need in needs]).id

    def try_claim(self, job_id: str, worker: str = "w1", lease_seconds: float = 60) -> Claim | None:
        """What a worker that was notified gets."""
        with self.store.begin() as session:
            return attempts.claim(session, job_id, worker, lease_seconds)

    def claim(self, job_id: str, worker: str = "w1", lease_seconds: float = 60) -> Fence:
        """The fence of a claim that is won."""
        claim = self.try_claim(job_id, worker, lease_seconds)
        assert claim is not None
        return claim.fence

    def end(self, fence: Fence, state: JobState = JobState.SUCCEEDED, passed: bool | None = None) -> list[str]:
        """The owner ends its job; returns who can start now."""
        with self.store.begin() as session:
            if passed is not None:
                result = {"passed": passed, "causes": ["the learning rate is too low"]}
                reports.put(session, fence.job_id, fence.attempt, "result", result)
            return completion.end(session, fence.job_id, state, fence=fence)

    def job(self, job_id: str) -> JobRow:
        """The job's row."""
        with self.store.read() as session:
            return jobs.get(session, job_id)

    def state(self, job_id: str) -> JobState:
        """The job's state."""
        return JobState(self.job(job_id).state)


@pytest.fixture
def harness(store: Store) -> Harness:
    """A harness on a fresh database, on SQLite and on Postgres."""
    return Harness(store)


@pytest.fixture
def worker(store: Store) -> SimulatedWorker:
    """A worker that trains nothing, beside whatever else uses the store."""
    return SimulatedWorker(store)
