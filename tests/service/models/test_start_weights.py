"""Start weights of a spec are there and of its network, or it is refused."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import SpecError
from service.models import start_weights, weights
from service.settings import Settings
from service.specs import JOB_SPEC
from service.store import files
from service.store.session import Store
from tests.service.conftest import Harness
from tests.service.models.weight_files import safetensors, squeezenet
from tests.service.simulated_worker import SimulatedWorker

RESNET = {"family": "torchvision", "arch": "resnet18"}


def fault(store: Store, settings: Settings, source: Any, kind: str = "train", **fields: Any) -> str | None:
    """Why start weights from there are refused."""
    train = {"dataset": "digits", "model": RESNET | {"weights": source}}
    body = {"kind": "tune", "train": train} if kind == "tune" else {"kind": kind} | train
    with store.read() as session:
        try:
            start_weights.check(session, settings, JOB_SPEC.validate_python(body | fields))
        except SpecError as error:
            return error.detail
    return None


def test_a_path_lies_under_a_data_root_and_is_there(store: Store, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "absent"
    root.mkdir()
    (root / "there").touch()
    settings = Settings(home=tmp_path, data_roots=(root, elsewhere))
    assert fault(store, settings, {"path": str(root / "there")}) is None
    assert fault(store, settings, {"path": str(root / "none")}) == f"there is no file {root / 'none'}"
    assert "not under a data root" in str(fault(store, settings, {"path": str(root / ".." / "x")}))
    assert fault(store, settings, {"path": str(elsewhere / "a")}) is None, "only a worker may have that root"


def test_a_job_gives_weights_of_its_own_network_as_long_as_it_may(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    store = harness.store
    same = harness.submit(model=RESNET)
    other = harness.submit(model=RESNET | {"arch": "resnet34"})
    assert fault(store, store.settings, {"from_job": same}) is None
    assert "these weights fit `resnet34`" in str(fault(store, store.settings, {"from_job": other}))
    worker.train(same)
    assert fault(store, store.settings, {"from_job": same}) is None
    with store.begin() as session:
        files.remove(session, same)
    assert "left no model file" in str(fault(store, store.settings, {"from_job": same}))


@pytest.mark.parametrize(
    ("dimension", "is_refused"), [("optimizer.lr", True), ("model.arch", False), ("model.dropout", True)]
)
def test_a_search_over_networks_is_left_to_its_trials(store: Store, dimension: str, is_refused: bool) -> None:
    path = store.settings.home / "file"
    path.write_bytes(safetensors(squeezenet()))
    weights.create(store, "mine", path, None)
    choices: dict[str, Any] = {"type": "float", "low": 0.01, "high": 0.1}
    if dimension == "model.arch":
        choices = {"type": "categorical", "choices": ["resnet18", "squeezenet1_1"]}
    detail = fault(store, store.settings, {"upload": "mine"}, "tune", search_space={dimension: choices})
    assert (detail is not None) == is_refused
