"""Many at once: processes and threads that want the same thing on real databases."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError

from service.datasets import imports
from service.errors import ConflictError, InUseError, NotFoundError, StateError
from service.jobs import completion, transitions
from service.specs.dataset import BuiltinSource
from service.states import JobState, is_terminal
from service.store import events, jobs
from service.store.attempts import Fence, LostLeaseError
from service.store.tables import JobRow
from tests.service.conftest import Harness, spec

CLAIMER = """
import random, sys
from service.settings import Settings
from service.store import attempts
from service.store.session import Store

url, worker, *ids = sys.argv[1:]
store = Store(Settings(database_url=url))
print("ready", flush=True)
sys.stdin.readline()
random.shuffle(ids)
for job_id in ids:
    with store.begin() as session:
        if attempts.claim(session, job_id, worker, 60):
            print(job_id)
"""


def together(*calls: Callable[[], object]) -> list[BaseException | None]:
    """Runs the calls at the same moment, each in a thread; returns what each raised."""
    barrier = threading.Barrier(len(calls))
    raised: list[BaseException | None] = [None] * len(calls)

    def run(index: int, call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            call()
        except (ConflictError, NotFoundError, IntegrityError, LostLeaseError) as error:
            raised[index] = error

    threads = [threading.Thread(target=run, args=numbered) for numbered in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_processes_claim_each_job_exactly_once(harness: Harness, database_url: str) -> None:
    ids = [harness.submit() for _ in range(30)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, database_url, f"w{number}", *ids],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    won: list[str] = []
    for process in processes:  # all of them wait for this line
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        won += output.split()
        assert process.returncode == 0
    assert sorted(won) == sorted(ids)
    assert {harness.job(job_id).attempt for job_id in ids} == {1}


def test_event_numbers_of_many_writers_have_no_gaps(harness: Harness) -> None:
    job_id = harness.submit()

    def write() -> None:
        for _ in range(15):
            with harness.store.begin() as session:
                events.append(session, job_id, [events.NewEvent("log", {"message": "x"})] * 2)

    assert together(*[write] * 4) == [None] * 4
    with harness.store.read() as session:
        assert [event.seq for event in events.after(session, job_id, 0)] == list(range(1, 122))


def test_name_of_a_dataset_is_won_once(harness: Harness) -> None:
    def create() -> None:
        with harness.store.begin() as session:
            imports.create(session, "digits", BuiltinSource(kind="builtin"))

    assert [error is None for error in together(*[create] * 5)].count(True) == 1
    with harness.store.read() as session:
        assert len(jobs.list_page(session, kind=["import"])[0]) == 1


@pytest.mark.parametrize("round_", range(4))
def test_job_is_free_when_the_two_it_needs_end_at_once(harness: Harness, round_: int) -> None:
    first, second = harness.claim(harness.submit()), harness.claim(harness.submit())
    waiting = harness.submit(needs=[first.job_id, second.job_id])
    free: list[str] = []

    def end(fence: Fence) -> None:
        free.extend(harness.end(fence))

    assert together(lambda: end(first), lambda: end(second)) == [None, None]
    assert free == [waiting]


@pytest.mark.parametrize("round_", range(4))
def test_no_job_slips_through_a_gate_that_shuts(harness: Harness, round_: int) -> None:
    gate = harness.claim(harness.submit("sanity"))

    def submit() -> None:
        with harness.store.begin() as session:
            row = jobs.create(session, spec(), needs=[(gate.job_id, "requires")])
            completion.fail_behind_missed_gate(session, row.id)

    assert together(submit, lambda: harness.end(gate, passed=False)) == [None, None]
    with harness.store.read() as session:
        [row] = [row for row in jobs.list_page(session)[0] if row.id != gate.job_id]
    assert row.state == JobState.FAILED


@pytest.mark.parametrize("round_", range(4))
def test_needed_job_is_not_removed_while_a_job_that_needs_it_comes(harness: Harness, round_: int) -> None:
    first = harness.submit()

    def remove() -> None:
        with harness.store.begin() as session:
            jobs.remove(session, first)

    creation, removal = together(lambda: harness.submit(needs=[first]), remove)
    if creation is None:
        assert isinstance(removal, InUseError)
    else:
        assert isinstance(creation, NotFoundError)
        assert removal is None


@pytest.mark.parametrize("round_", range(4))
def test_cancel_and_end_leave_one_terminal_state(harness: Harness, round_: int) -> None:
    fence = harness.claim(harness.submit())

    def cancel() -> None:
        with harness.store.begin() as session:
            transitions.request_cancel(session, fence.job_id)

    cancelled, ended = together(cancel, lambda: harness.end(fence))
    assert cancelled is None or isinstance(cancelled, StateError)
    assert ended is None
    with harness.store.read() as session:
        types = Counter(event.type for event in events.after(session, fence.job_id, 0))
        assert is_terminal(JobState(session.get_one(JobRow, fence.job_id).state))
    assert types["end"] == 1
