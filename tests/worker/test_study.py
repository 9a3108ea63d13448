"""Where a search keeps its trials: a schema of its own in Postgres, a file of its own beside SQLite."""

import optuna
import pytest

from service.specs.tune import TuneSpec
from service.store.ids import new_id
from service.store.jobs import Claim, Fence
from service.store.session import Store
from worker import inputs
from worker.engine.study import Search

SPEC = TuneSpec.model_validate(
    {
        "kind": "tune",
        "train": {"dataset": "digits"},
        "search_space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
    }
)


@pytest.mark.parametrize("again", [False, True])
def test_search_keeps_its_trials_apart_from_our_tables(store: Store, again: bool) -> None:
    job = new_id()
    claim = Claim(fence=Fence(job, 1, "worker"), spec=SPEC, dataset_id=None)
    url = inputs._study_url(store, claim)
    assert url is not None
    search = Search(SPEC, url, job, "main")
    search.prepare()
    trial, values = search.ask()
    search.tell(trial, optuna.trial.TrialState.COMPLETE, 0.5)
    if again:
        search.close()
        inputs._study_url(store, claim)
        search = Search(SPEC, url, job, "main")
    search.refresh()
    best = search.best()
    search.close()
    assert best is not None
    assert best.user_attrs["values"] == values
