"""Files that survive a crash, and states that load without pickle."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from service.durable_files import write_durably
from tests.worker.engine.runs import StopAt, last_state, spec_of, train
from worker.engine.runtime import seeding
from worker.engine.training import checkpoints


def test_write_replaces_the_old_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_durably(path, lambda file: file.write_text("old"))

    def write(file: Path) -> None:
        assert path.read_text() == "old"
        assert file.parent == path.parent
        file.write_text("new")

    write_durably(path, write)
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_write_that_fails_half_way_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_durably(path, lambda file: file.write_text("old"))

    def write(file: Path) -> None:
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_durably(path, write)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_resume_state_loads_without_pickle_and_holds_everything(few_digits: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(ema={"decay": 0.9}), stop=StopAt(8))
    state = checkpoints.load(last_state(events).path)
    assert state.keys() >= {
        *("model", "ema", "optimizer", "schedule", "stopping", "scaler", "generators", "best"),
        *("epoch", "batch", "step", "sums", "threads", "device", "batch_size"),
    }
    assert state["generators"].keys() == {"python", "numpy", "torch", "cuda"}
    assert (state["epoch"], state["batch"], state["step"]) == (2, 2, 7)


def test_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "bomb.pt"
    torch.save({"model": Bomb()}, path)
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.load(path)
    assert not (tmp_path / "exploded").exists()


def test_generators_come_back_as_they_were(tmp_path: Path) -> None:
    import random

    seeding.seed_everything(7, deterministic=True)
    random.gauss(0, 1)
    np.random.normal()
    path = checkpoints.save(tmp_path / "state.pt", seeding.capture())

    def draw() -> list[float]:
        return [
            random.random(),
            random.gauss(0, 1),
            float(np.random.normal()),
            float(torch.rand(1)),
            float(torch.randn(1)),
        ]

    first, other = draw(), draw()
    seeding.restore(checkpoints.load(path))
    assert draw() == first != other
