"""Searches of tiny networks on the digits, on each kind of database."""

from typing import Any

from service.store import jobs, reports
from service.store.session import Store
from tests.worker.attempts import Attempt
from tests.worker.deck import Deck, eventually

LR = {"type": "categorical", "choices": [1e-6, 1e-2]}


def imported(store: Store) -> Deck:
    """A deck whose digits are ready."""
    deck = Deck(store)
    Attempt(store, deck.create_digits()).run()
    return deck


def search(deck: Deck, *, epochs: int = 1, **fields: Any) -> str:
    """A queued search with one runner beside it; its first trial has the worse learning rate."""
    model = {"family": "mlp", "hidden": [16]}
    train = {"dataset": "digits", "epochs": epochs, "model": model, "optimizer": {"lr": 1e-6}, "early_stopping": None}
    spec = {"search_space": {"optimizer.lr": LR}, "sampler": "random", "pruner": "none", "parallelism": 2}
    return deck.submit(kind="tune", train=train, **spec | fields)


def runner_of(deck: Deck, job_id: str) -> str:
    """The job of the runner beside it, once there is one."""

    def look() -> str | None:
        with deck.store.read() as session:
            return session.execute(jobs.runners_of(job_id)).scalars().first()

    return eventually(look, lambda: f"{deck.states(job_id)} {deck.job(job_id).error}")


def trials(deck: Deck, job_id: str) -> list[dict[str, Any]]:
    """What is known of the trials so far."""
    with deck.store.read() as session:
        found = reports.named(session, job_id, "trial:").values()
    return sorted(found, key=lambda trial: int(trial["number"]))


def completed(deck: Deck, job_id: str, runner: str, more_than: int = 0) -> list[dict[str, Any]]:
    """The trials that a runner has completed, once there are more than that."""

    def look() -> list[dict[str, Any]] | None:
        found = [each for each in trials(deck, job_id) if (each["runner"], each["state"]) == (runner, "complete")]
        return found if len(found) > more_than else None

    return eventually(look, lambda: f"{trials(deck, job_id)} {deck.states(job_id)} {deck.job(job_id).error}")
