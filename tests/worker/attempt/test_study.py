"""Where a search keeps its trials: a schema of its own in Postgres, a file of its own beside SQLite."""

from pathlib import Path

import optuna
import pytest

from service.ids import new_id
from service.specs.training import LimitsSpec
from service.specs.tune import TuneSpec
from service.store import studies
from service.store.attempts import Claim, Fence
from service.store.session import Store
from worker.attempt.shared_study import share_study
from worker.engine.context import RunContext
from worker.engine.tune.study import Study
from worker.host import cleanup

SPEC = TuneSpec.model_validate(
    {
        "kind": "tune",
        "train": {"dataset": "digits"},
        "search_space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
    }
)


def study_of(store: Store, job_id: str) -> Study:
    claim = Claim(fence=Fence(job_id, 1, "worker"), spec=SPEC, dataset_id=None, limits=LimitsSpec(), running_seconds=0)
    return Study(SPEC, share_study(store, claim, RunContext(scratch=Path("unused"))))


@pytest.mark.parametrize("again", [False, True])
def test_search_keeps_its_trials_apart_from_our_tables(store: Store, again: bool) -> None:
    job = new_id()
    study = study_of(store, job)
    study.enqueue_first()
    trial = study.ask()
    assert trial is not None
    study.tell(trial, optuna.trial.TrialState.COMPLETE, 0.5)
    if again:
        study.close()
        study = study_of(store, job)
    study.refresh()
    best = study.best()
    study.close()
    assert best is not None
    assert best.user_attrs["values"] == trial.user_attrs["values"]
    studies.remove(store, job)


def test_a_removed_study_is_gone_and_others_stay(store: Store) -> None:
    gone, stays = new_id(), new_id()
    for job in (gone, stays):
        study_of(store, job).close()
    assert sorted(studies.kept(store)) == sorted([gone, stays])
    studies.remove(store, gone)
    studies.remove(store, gone)
    assert studies.kept(store) == [stays]
    cleanup.clean_up(store)
    assert studies.kept(store) == []
