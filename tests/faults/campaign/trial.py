"""One trial: jobs are submitted, a fault comes at a random moment, and what the jobs leave is compared and audited."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from service.states import TERMINAL, JobState
from service.store import jobs
from tests.faults.campaign import audit
from tests.faults.campaign.faults import Fault
from tests.faults.campaign.homes import Home
from tests.faults.campaign.journal import Trial
from tests.faults.campaign.outcome import Outcome, compare, read_outcome
from tests.faults.campaign.work import LATE, Work, first_kinds
from tests.polling import eventually

EARLY_SECONDS = 2.5
"""A fault that does not wait for a checkpoint comes so soon after the submission."""
LATE_SECONDS = 0.8
"""A fault that does comes so soon after the checkpoint."""
SUBMIT_SECONDS = 90.0
END_SECONDS = 180.0
"""Patience for a machine that runs other things too; what it took shows as seconds to recovery."""
Outcomes = dict[str, Outcome]


def undisturbed(home: Home) -> Outcomes:
    """The outcome of each job where nothing happens."""
    work = Work(home, f"undisturbed-{time.time_ns()}")
    for kind in (*first_kinds(0), LATE):
        assert work.submit(kind, SUBMIT_SECONDS), f"{kind} was not accepted"
    work.wait(END_SECONDS)
    outcomes = {kind: read_outcome(home.store, job_id) for kind, job_id in work.job_ids.items()}
    assert all(outcome.state == JobState.SUCCEEDED for outcome in outcomes.values()), (
        f"{ {kind: outcome.state for kind, outcome in outcomes.items()} }\n{home.logs()}"
    )
    work.delete()
    return outcomes


def run(home: Home, fault: Fault, number: int, version: str, expected: Outcomes, *, after_checkpoint: bool) -> Trial:
    """One trial; the same number gives the same choices."""
    rng, started = Random(f"{number} {home.name} {fault.name}"), time.monotonic()
    home.wait_until_ready()
    work = Work(home, f"trial-{number}-{time.time_ns()}")
    for kind in first_kinds(number):
        work.submit(kind, SUBMIT_SECONDS)
    _wait_for_moment(work, rng, after_checkpoint=after_checkpoint)
    running = work.open_kinds()
    fault_at = datetime.now(UTC)
    with fault.inject(home, rng):
        work.submit(LATE, 0)
    home.heal()
    accepted = work.submit(LATE, SUBMIT_SECONDS)
    died = work.wait(END_SECONDS)
    if not accepted:
        work.faults.add(f"{LATE} was not accepted within {SUBMIT_SECONDS:.0f} s after the fault")
    trial = Trial(
        number=number,
        home=home.name,
        fault=fault.name,
        after_checkpoint=after_checkpoint,
        version=version,
        running=running,
        died=died,
        attempts_excused=fault.may_cost_an_attempt,
        **_judge(work, expected, fault_at),
        seconds=round(time.monotonic() - started, 1),
    )
    if trial.is_clean:
        work.delete()
    return trial


def _wait_for_moment(work: Work, rng: Random, *, after_checkpoint: bool) -> None:
    if after_checkpoint:
        eventually(work.has_checkpoint, work.home.logs)
    time.sleep(rng.uniform(0, LATE_SECONDS if after_checkpoint else EARLY_SECONDS))


def _judge(work: Work, expected: Outcomes, fault_at: datetime) -> dict[str, Any]:
    """The fields of a trial that say what was lost."""
    store, states = work.home.store, work.states()
    ended = {kind: job_id for kind, job_id in work.job_ids.items() if states[kind] == JobState.SUCCEEDED}
    events = {kind: audit.read_events(store, job_id) for kind, job_id in ended.items()}
    differences = {kind: compare(expected[kind], read_outcome(store, job_id)) for kind, job_id in ended.items()}
    faults = [f"{kind}: {what}" for kind in ended for what in audit.faults_of(store, ended[kind], events[kind])]
    resumes = audit.resumes(events.get("train", []))
    with store.read() as session:
        attempts_lost = sum(jobs.get(session, job_id).lost_attempts for job_id in ended.values())
    return {
        "jobs": len(work.job_ids),
        "lost": _lost(work, states),
        "stuck": [kind for kind, state in states.items() if state is not None and state not in TERMINAL],
        "points_lost": sum(difference.points_lost for difference in differences.values()),
        "points_doubled": sum(difference.points_doubled for difference in differences.values()),
        "unequal": [f"{kind}: {what}" for kind, difference in differences.items() for what in difference.unequal],
        "attempts_lost": attempts_lost,
        "resumed": resumes.from_checkpoint,
        "from_start": resumes.from_start,
        "faults": sorted([*faults, *work.faults]),
        "recovery_seconds": _longest(audit.recovered_after(recorded, fault_at) for recorded in events.values()),
    }


def _lost(work: Work, states: Mapping[str, JobState | None]) -> list[str]:
    """Accepted jobs that are gone or ended badly, and jobs that nobody was told of."""
    unknown = set(work.all_ids()) - set(work.job_ids.values())
    bad = [kind for kind, state in states.items() if state in (None, JobState.FAILED, JobState.CANCELLED)]
    return bad + [f"doubled {job_id}" for job_id in sorted(unknown)]


def _longest(seconds: Iterable[float | None]) -> float | None:
    return max((value for value in seconds if value is not None), default=None)
