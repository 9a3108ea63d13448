"""The states of a job and the transitions between them."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands; terminal states never change."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Relation(StrEnum):
    """What a job is to its parent."""

    CHILD = "child"
    """A part of its parent's work: a runner of a search, a step of a pipeline."""
    FOLLOW_UP = "follow-up"
    """Made from its parent by a retry, a clone or an applied remedy."""


class Actor(StrEnum):
    """Who changes a job's state, or deletes its files, where it is no key, which is named by its name."""

    ADMIN = "admin"
    """The operator's first key."""
    ANYONE = "anyone"
    """Whoever calls a service that asks for no keys."""
    LIMIT = "limit"
    RESTORE = "restore"
    """A backup was put in place of what the service had stored."""
    RETENTION = "retention"
    SWEEPER = "sweeper"
    WORKER = "worker"


class DatasetState(StrEnum):
    """Where a dataset's import stands."""

    IMPORTING = "importing"
    READY = "ready"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why a run ended; an outcome is a value, not an exception."""

    COMPLETED = "completed"
    EARLY_STOPPED = "early_stopped"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    DRAINED = "drained"
    PRUNED = "pruned"
    FINDING = "finding"
    LIMIT = "limit"
    """Paused because the running time that `limits.seconds` allows was used up."""


# Every change of state that may happen. A running job is `queued` again when its lease ran out or its worker drains;
# one that waits or is paused fails when a job that it needs did.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED, JobState.FAILED}),
    JobState.RUNNING: frozenset(
        {
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.CANCELLING,
            JobState.PAUSING,
            JobState.QUEUED,
        }
    ),
    JobState.PAUSING: frozenset(
        {JobState.PAUSED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING, JobState.QUEUED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED, JobState.FAILED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

TERMINAL: frozenset[JobState] = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
OWNED: frozenset[JobState] = frozenset({JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})


def is_terminal(state: JobState) -> bool:
    """Whether a job in this state has ended for good."""
    return state in TERMINAL
