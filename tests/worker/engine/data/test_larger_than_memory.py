"""Data that do not fit: read from disk batch by batch, in bounded memory, with the very same numbers."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from service.errors import DataError
from service.states import StopReason
from tests.worker.engine.large_store import CLASSES, LIMIT_BYTES, STORE_BYTES, make_store
from tests.worker.engine.runs import StopAt, ended_by, epochs_of, last_state, spec_of, steps_of, train
from worker.engine.data import split_samples
from worker.engine.data.packed import PackedDataset
from worker.engine.data.row_file import MAX_BUFFERS, RowFile
from worker.engine.data.split_samples import Normalisation, SplitSamples


def test_rows_come_as_asked_for_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 256, (3 * MAX_BUFFERS, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", rows)
    file = RowFile.of_array(tmp_path / "x.npy")
    some = np.random.default_rng(2).integers(0, len(rows), 500)
    for wanted in (np.arange(len(rows)), some, np.array([7]), np.array([], np.int64)):
        assert np.array_equal(file.read(wanted), rows[wanted])


def test_rows_beyond_4_gib_are_written_and_read_where_they_belong(tmp_path: Path) -> None:
    file = RowFile.create(tmp_path / "rows.bin", (2**20, 5000), np.dtype(np.uint8))
    places = np.array([2**20 - 1, 0, 2**20 - 2, 859_000], np.int64)
    rows = np.random.default_rng(0).integers(0, 256, (4, 5000), dtype=np.uint8)
    file.write(places, rows)
    assert np.array_equal(file.read(places), rows)
    assert not file.read(np.array([1, 2**20 - 3, 858_999, 859_001])).any()
    assert (tmp_path / "rows.bin").stat().st_blocks * 512 < 10**6


def test_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((10, 100), np.float32))
    file = RowFile.of_array(tmp_path / "x.npy")
    with (tmp_path / "x.npy").open("r+b") as cut:
        cut.truncate(2000)
    with pytest.raises(DataError, match=r"x\.npy is shorter"):
        file.read(np.arange(10))


@pytest.mark.parametrize("augment", ["none", "standard"])
def test_streamed_run_is_bitwise_the_resident_one_and_resumes_exactly(
    augment: str, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(augment=augment, model={"family": "cnn", "channels": [4, 8]}, batch_size=48)
    resident = train(few_digits, _folder(tmp_path, "resident"), spec)
    monkeypatch.setattr(split_samples, "RESIDENT_SHARE", 0.0)
    streamed = train(few_digits, _folder(tmp_path, "streamed"), spec)
    assert steps_of(streamed) == steps_of(resident)
    assert epochs_of(streamed) == epochs_of(resident)
    broken = train(few_digits, _folder(tmp_path, "broken"), spec, stop=StopAt(10))
    assert ended_by(broken) is StopReason.PAUSED
    rest = train(few_digits, _folder(tmp_path, "rest"), spec, resume_from=last_state(broken).path)
    assert steps_of(broken) | steps_of(rest) == steps_of(resident)
    assert epochs_of(rest)[-1] == epochs_of(resident)[-1]


def test_splits_share_the_memory_for_resident_samples(few_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PackedDataset.open(few_digits)
    splits: list[SplitSamples] = []
    for name in ("train", "val"):
        free = 2 * 320 * 64 - sum(each.resident_bytes for each in splits)
        monkeypatch.setattr(split_samples, "free_memory", lambda device, free=free: free)
        plain = Normalisation.of(dataset.meta, "none")
        splits.append(SplitSamples.of(dataset, name, torch.device("cpu"), plain, cache=True))
    assert splits[0].resident_bytes == 300 * 64, "as stored, for the normalised form would take the whole budget"
    assert not splits[1].is_resident


def test_store_of_4_gb_trains_whole_under_a_limit_of_1_5_gb(tmp_path: Path) -> None:
    """The limit is one of the address space (RLIMIT_AS), the strictest there is: mapped files count as well."""
    data = make_store(tmp_path / "data", (32_768,), np.float32)
    assert (data / "x.npy").stat().st_size > STORE_BYTES
    spec = spec_of(epochs=1, batch_size=128, model={"family": "mlp", "hidden": [4]})
    command = [
        sys.executable,
        "-m",
        "tests.worker.engine.large_store",
        str(data),
        str(tmp_path),
        spec.model_dump_json(),
    ]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    samples = len(np.load(data / "y.npy"))
    assert seen["samples"] == math.ceil((samples - 1) / 50)
    assert seen["steps"] == math.ceil((np.load(data / "split.npy") == 0).sum() / 128)
    assert seen["loss"] == pytest.approx(math.log(CLASSES), rel=0.2)
    assert seen["peak_bytes"] < LIMIT_BYTES


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
