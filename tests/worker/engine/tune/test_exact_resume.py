"""A search that is killed wherever it writes, again and again, has the trials of one that nothing disturbs."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from service.events import Event, StepRecord
from service.reports.result import Trial
from service.states import StopReason
from tests.worker.engine.runs import StopAt, only
from tests.worker.engine.searches import HIDDEN, LR, events_of, make_spec, result_of, study_url, tune

NUMBERS = {"optimizer.lr": LR, "model.dropout": {"type": "float", "low": 0.0, "high": 0.4}}
MIXED = {
    "optimizer.lr": LR,
    "model.hidden": HIDDEN,
    "optimizer.name": {"type": "categorical", "choices": ["sgd", "adam"]},
}
BETWEEN_KILLS = 16, 44
"""Writes into the study: a trial has a dozen of them."""


class KilledError(BaseException):
    """The process is gone: what it was about to commit is lost."""


@contextmanager
def killed_at(writes: int) -> Iterator[None]:
    """Lets a search write into its study so many times less one, and ends it at the next."""
    left = writes

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal left
        left -= statement.startswith(("INSERT", "UPDATE", "DELETE"))
        if left <= 0:
            raise KilledError

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def trials_of(events: list[Event]) -> list[Trial]:
    return [trial.model_copy(update={"duration_seconds": None}) for trial in result_of(events).data]


def curves_of(events: list[Event]) -> dict[tuple[str, int], float]:
    return {(name, record.step): value for record in only(events, StepRecord) for name, value in record.values.items()}


def disturbed(start: Callable[[int], Iterator[Event]], writes: Iterator[int]) -> tuple[list[Event], int]:
    """All events of a search that is killed after so many writes each time, and how often it was."""
    events: list[Event] = []
    for kills, most in enumerate(writes):
        try:
            with killed_at(most):
                for found in start(kills):
                    events.append(found)
                return events, kills
        except KilledError:
            continue
    raise AssertionError(events)


@pytest.mark.parametrize(
    ("sampler", "pruner", "space", "n_trials"),
    [
        ("tpe", "hyperband", MIXED, 12),
        ("random", "median", NUMBERS, 7),
        ("grid", "successive_halving", NUMBERS, 6),
        ("gp", "none", NUMBERS, 12),
        ("cmaes", "auto", NUMBERS, 7),
    ],
)
def test_a_search_that_is_killed_again_and_again_ends_like_an_undisturbed_one(
    few_digits: Path, tmp_path: Path, sampler: str, pruner: str, space: dict[str, Any], n_trials: int
) -> None:
    train = {"epochs": 4, "batch_size": 256}
    spec = make_spec(space, train=train, sampler=sampler, pruner=pruner, n_trials=n_trials, lr_find=0.02)
    whole = tune(few_digits, tmp_path / "whole", spec)
    rng = random.Random(sampler + pruner)
    url = study_url(tmp_path)
    events, kills = disturbed(
        lambda number: events_of(few_digits, tmp_path / f"{number}", spec, study_url=url),
        (rng.randint(*BETWEEN_KILLS) for _ in range(100)),
    )
    assert trials_of(events) == trials_of(whole)
    assert curves_of(events) == curves_of(whole)
    assert kills >= 2


def test_a_search_that_is_paused_in_a_trial_runs_it_again_under_its_own_number(
    few_digits: Path, tmp_path: Path
) -> None:
    spec = make_spec(n_trials=3, train={"epochs": 4})
    whole, url = tune(few_digits, tmp_path / "whole", spec), study_url(tmp_path)
    stopped = tune(few_digits, tmp_path / "a", spec, study_url=url, stop=StopAt(5, StopReason.PAUSED))
    assert [trial.state for trial in trials_of(stopped)][-1] == "waiting"
    assert trials_of(tune(few_digits, tmp_path / "b", spec, study_url=url)) == trials_of(whole)
