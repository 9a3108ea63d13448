"""A model of the whole lifecycle, driven at random against the real store: nothing lost, twice or stuck."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from service.errors import StateError
from service.jobs import actions, completion, transitions
from service.settings import Settings
from service.states import OWNED, TRANSITIONS, JobState, is_terminal
from service.store import attempts, events, jobs, reports
from service.store.attempts import AttemptStatus, Fence, LostLeaseError
from service.store.session import Store, now
from service.store.tables import Base, EventRow, JobRow, SweepRow
from service.sweeper import sweep
from tests.service.conftest import spec

LEASE_SECONDS = 60
WORKERS = ("w1", "w2")
MOST_JOBS = 7
ACTS = (
    *("submit", "submit", "cancel", "pause", "resume", "resume"),
    *("deliver", "deliver", "deliver", "beat", "write", "write", "succeed", "fail", "miss", "drain"),
    *("wait", "sweep", "lose", "lose"),
)
"""What clients, workers (alive or zombies) and time do; `lose`: every worker hangs past its lease."""
PICK = st.integers(min_value=0, max_value=11)
"""Chooses one of what there is, by remainder."""


@dataclass
class Model:
    """What a job must look like."""

    id: str
    kind: str
    needs: tuple[str, ...]
    state: JobState = JobState.QUEUED
    attempt: int = 0
    lost: int = 0
    fence: Fence | None = None
    lease_left: float = 0.0
    passed: bool = True
    written: list[int] = field(default_factory=list)
    """Attempt of each write that was accepted, in order."""


class Lifecycle(RuleBasedStateMachine):
    """What clients, workers, zombies, the broker and the clock may do, and what must hold all the while."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.models: dict[str, Model] = {}
        self.fences: list[Fence] = []
        with store.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())

    # What may happen, in any order. One rule of many acts: of several rules Hypothesis switches some off in each
    # example, and hardly any example would then have clients, workers and time.

    @initialize(kind=st.sampled_from(["train", "sanity"]), number=PICK)
    def begin(self, kind: str, number: int) -> None:
        """Two jobs, the second perhaps behind the first; a worker has the first one."""
        self.submit(kind, [])
        self.submit("train", [0] if number % 2 else [])
        self.deliver(0, "w1")

    @rule(act=st.sampled_from(ACTS), number=PICK, other=PICK)
    def act(self, act: str, number: int, other: int) -> None:
        """Someone does something, or time passes."""
        match act:
            case "submit":
                self.submit("sanity" if number % 3 == 0 else "train", [number, other][: number % 3])
            case "cancel":
                self.cancel(number)
            case "pause":
                self.pause(number)
            case "resume":
                self.resume(number)
            case "deliver":
                self.deliver(number, WORKERS[other % 2])
            case "beat":
                self.heartbeat(number)
            case "write":
                self.write(number)
            case "drain":
                self.drain(number)
            case "succeed" | "fail" | "miss":
                self.finish(number, JobState.FAILED if act == "fail" else JobState.SUCCEEDED, act != "miss")
            case "wait":
                self.advance_clock(1 if number % 2 else LEASE_SECONDS + 1)
            case "sweep":
                self.sweep()
            case _:
                self.advance_clock(LEASE_SECONDS + 1)
                self.sweep()

    # What the model expects.

    def pick(self, number: int) -> Model:
        """One of the jobs."""
        return list(self.models.values())[number % len(self.models)]

    def is_live(self, fence: Fence) -> bool:
        """Whether this attempt is its job's current one."""
        return fence.job_id in self.models and self.models[fence.job_id].fence == fence

    def may_start(self, model: Model) -> bool:
        """Queued, with everything it needs."""
        good = all(need in self.models and self.is_good(self.models[need]) for need in model.needs)
        return model.state is JobState.QUEUED and good

    def is_good(self, model: Model) -> bool:
        """Succeeded; a sanity job has passed too."""
        return model.state is JobState.SUCCEEDED and model.passed

    def enter(self, model: Model, state: JobState) -> None:
        """The model's job changes its state, and those who wait for it fail with it."""
        assert state in TRANSITIONS[model.state]
        model.state = state
        if state not in OWNED:
            model.fence = None
        if not is_terminal(state) or self.is_good(model):
            return
        for other in self.models.values():
            if model.id in other.needs and other.state in (JobState.QUEUED, JobState.PAUSED):
                self.enter(other, JobState.FAILED)

    # What clients do.

    def submit(self, kind: str, needs: list[int]) -> None:
        """A job, perhaps behind others."""
        if len(self.models) == MOST_JOBS:
            return
        needed = tuple({self.pick(number).id for number in needs}) if self.models else ()
        with self.store.begin() as session:
            job_id = jobs.create(session, spec(kind), needs=[(need, "requires") for need in needed]).id
            completion.fail_behind_missed_gate(session, job_id)
        model = self.models[job_id] = Model(job_id, kind, needed)
        ended = [self.models[need] for need in needed if is_terminal(self.models[need].state)]
        if not all(self.is_good(other) for other in ended):
            self.enter(model, JobState.FAILED)

    def cancel(self, number: int) -> None:
        """A client cancels."""
        model = self.pick(number)
        allowed = not is_terminal(model.state)
        with self.store.begin() as session:
            try:
                actions.cancel(session, model.id)
                assert allowed
            except StateError:
                assert not allowed
        if allowed and model.state is not JobState.CANCELLING:
            self.enter(model, JobState.CANCELLING if model.state in OWNED else JobState.CANCELLED)

    def pause(self, number: int) -> None:
        """A client pauses."""
        model = self.pick(number)
        allowed = model.state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSING)
        with self.store.begin() as session:
            try:
                transitions.request_pause(session, model.id)
                assert allowed
            except StateError:
                assert not allowed
        if allowed and model.state is not JobState.PAUSING:
            self.enter(model, JobState.PAUSING if model.state in OWNED else JobState.PAUSED)

    def resume(self, number: int) -> None:
        """A client resumes."""
        model = self.pick(number)
        with self.store.begin() as session:
            try:
                transitions.resume(session, model.id)
                assert model.state is JobState.PAUSED
            except StateError:
                assert model.state is not JobState.PAUSED
        if model.state is JobState.PAUSED:
            self.enter(model, JobState.QUEUED)

    # What the broker and the workers do.

    def deliver(self, number: int, worker: str) -> None:
        """A message, perhaps a duplicate or a late one, reaches a worker."""
        model = self.pick(number)
        with self.store.begin() as session:
            claim = attempts.claim(session, model.id, worker, LEASE_SECONDS)
        assert (claim is not None) == self.may_start(model)
        if claim is None:
            return
        model.attempt += 1
        assert claim.fence == Fence(model.id, model.attempt, worker)
        model.fence, model.lease_left = claim.fence, LEASE_SECONDS
        self.fences.append(claim.fence)
        self.enter(model, JobState.RUNNING)

    def heartbeat(self, number: int) -> None:
        """A worker, alive or long given up, renews its lease."""
        fence = self.fences[number % len(self.fences)]
        with self.store.begin() as session:
            status = attempts.heartbeat(session, fence, LEASE_SECONDS)
        assert (status is not AttemptStatus.LOST) == self.is_live(fence)
        if self.is_live(fence):
            self.models[fence.job_id].lease_left = LEASE_SECONDS
            expected = {
                JobState.CANCELLING: AttemptStatus.CANCEL_REQUESTED,
                JobState.PAUSING: AttemptStatus.PAUSE_REQUESTED,
            }
            assert status is expected.get(self.models[fence.job_id].state, AttemptStatus.CURRENT)

    def write(self, number: int) -> None:
        """A worker or a zombie writes."""
        fence = self.fences[number % len(self.fences)]
        live = self.is_live(fence)
        try:
            with self.store.begin() as session:
                attempts.lock(session, fence)
                events.append(session, fence.job_id, [events.NewEvent("log", {"attempt": fence.attempt})])
            assert live
            self.models[fence.job_id].written.append(fence.attempt)
        except LostLeaseError:
            assert not live

    def finish(self, number: int, state: JobState, passed: bool) -> None:
        """A worker or a zombie ends its attempt the way the job's state asks for."""
        fence = self.fences[number % len(self.fences)]
        live, model = self.is_live(fence), self.models[fence.job_id]
        asked = {JobState.CANCELLING: JobState.CANCELLED, JobState.PAUSING: JobState.PAUSED}.get(model.state, state)
        try:
            with self.store.begin() as session:
                attempts.lock(session, fence)
                if model.kind == "sanity":
                    reports.put(session, model.id, fence.attempt, "result", {"passed": passed, "causes": []})
                if asked is JobState.PAUSED:
                    assert transitions.move(session, model.id, asked, fence=fence)
                else:
                    completion.end(session, model.id, asked, fence=fence)
            assert live
            model.passed = passed or model.kind != "sanity"
            self.enter(model, asked)
        except LostLeaseError:
            assert not live

    def drain(self, number: int) -> None:
        """A worker that ends hands its job back."""
        fence = self.fences[number % len(self.fences)]
        model = self.models[fence.job_id]
        allowed = self.is_live(fence) and model.state is not JobState.CANCELLING
        with self.store.begin() as session:
            assert completion.requeue(session, fence, lost=False) == allowed
        if allowed:
            self.enter(model, JobState.QUEUED)

    # Time.

    def advance_clock(self, seconds: float) -> None:
        """Time passes: what the database remembers moves into the past."""
        time = timedelta(seconds=seconds)
        with self.store.begin() as session:
            session.execute(sa.delete(SweepRow))
            for row in session.execute(sa.select(JobRow)).scalars():
                row.notified_at = row.notified_at and row.notified_at - time
                row.lease_until = row.lease_until and row.lease_until - time
        for model in self.models.values():
            model.lease_left -= seconds

    def sweep(self) -> None:
        """The sweeper looks after everything."""
        with self.store.begin() as session:
            session.execute(sa.delete(SweepRow))
        notified: list[str] = []
        assert sweep(self.store, lambda ids: self._notify(ids, notified))
        for model in list(self.models.values()):
            if model.fence is not None and model.lease_left < 0:
                self._lose(model)
        assert all(self.may_start(self.models[job_id]) for job_id in notified)

    def _notify(self, ids: Iterable[str], notified: list[str]) -> bool:
        notified += ids
        with self.store.begin() as session:
            session.execute(sa.update(JobRow).where(JobRow.id.in_(notified)).values(notified_at=now(session)))
        return True

    def _lose(self, model: Model) -> None:
        """What an expired lease means for a job."""
        match model.state:
            case JobState.CANCELLING:
                self.enter(model, JobState.CANCELLED)
            case JobState.PAUSING:
                self.enter(model, JobState.PAUSED)
            case _ if model.lost + 1 >= self.store.settings.max_attempts:
                self.enter(model, JobState.FAILED)
            case _:
                model.lost += 1
                self.enter(model, JobState.QUEUED)

    # What holds at every moment.

    @invariant()
    def database_and_model_agree(self) -> None:
        """State, attempt, worker and lost attempts of every job."""
        with self.store.read() as session:
            rows = {row.id: row for row in session.execute(sa.select(JobRow)).scalars()}
        assert rows.keys() == self.models.keys()
        for model in self.models.values():
            row = rows[model.id]
            worker_id = model.fence.worker_id if model.fence else None
            expected = (model.state, model.attempt, worker_id, model.lost, model.fence is not None)
            assert (row.state, row.attempt, row.worker_id, row.lost_attempts, row.lease_until is not None) == expected

    @invariant()
    def every_change_left_its_event(self) -> None:
        """Numbers without gaps, transitions that the table knows, one end, and no row of a stale attempt."""
        with self.store.read() as session:
            events_of_all = session.execute(sa.select(EventRow).order_by(EventRow.job_id, EventRow.seq)).scalars().all()
        for model in self.models.values():
            mine = [event for event in events_of_all if event.job_id == model.id]
            assert [event.seq for event in mine] == list(range(1, len(mine) + 1))
            states = [JobState(event.data["state"]) for event in mine if event.type == "state"]
            assert states[0] is JobState.QUEUED
            assert states[-1] is model.state
            assert all(later in TRANSITIONS[earlier] for earlier, later in itertools.pairwise(states))
            assert sum(event.type == "end" for event in mine) == is_terminal(model.state)
            logs = [event.data for event in mine if event.type == "log"]
            assert [data["attempt"] for data in logs if "attempt" in data] == model.written

    def teardown(self) -> None:
        """Every job ends once workers work and paused jobs are resumed: nothing is stuck for ever."""
        for _ in range(1 + 2 * len(self.models) + self.store.settings.max_attempts):
            self.advance_clock(61)
            self.sweep()
            for number in range(len(self.models)):
                self.resume(number)
                self.deliver(number, "w1")
            for number, fence in enumerate(self.fences):
                if self.is_live(fence):
                    self.finish(number, JobState.SUCCEEDED, True)
            self.database_and_model_agree()
            if all(is_terminal(model.state) for model in self.models.values()):
                return
        raise AssertionError("some job never ends")


def run(url: str, home: str, *, max_examples: int, steps: int) -> None:
    """Runs the machine on one database, which each example empties first."""
    store = Store(Settings.model_validate({"home": home, "database_url": url}))

    class OnThisStore(Lifecycle):
        def __init__(self) -> None:
            super().__init__(store)

    run_state_machine_as_test(
        OnThisStore,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    store.close()


def test_lifecycle_on_sqlite(sqlite_url: str, tmp_path: object) -> None:
    run(sqlite_url, str(tmp_path), max_examples=25, steps=40)


def test_lifecycle_on_postgres(postgres_url: str, tmp_path: object) -> None:
    run(postgres_url, str(tmp_path), max_examples=6, steps=30)
