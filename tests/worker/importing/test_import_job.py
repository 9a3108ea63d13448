"""The import job: from a source to a packed dataset, with events, profile and hash."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ImportRefusedError
from service.events import DatasetPacked, Event, FileSaved, Stopped
from service.specs.dataset import ImportSpec
from tests.worker.importing.imports import import_path, two_classes, write_folder
from worker.engine.context import RunContext
from worker.engine.data.packed import PackedDataset
from worker.importing.import_job import run_import

DIGITS = {"kind": "builtin", "name": "digits"}


def imported(scratch: Path, source: dict[str, Any], *roots: Path) -> list[Event]:
    spec = ImportSpec.model_validate({"kind": "import", "dataset": "d", "source": source})
    return list(run_import(spec, RunContext(scratch=scratch, data_roots=roots)))


def content(events: list[Event]) -> DatasetPacked:
    return next(event for event in events if isinstance(event, DatasetPacked))


def packed(events: list[Event]) -> PackedDataset:
    return PackedDataset.open(next(event.path.parent for event in events if isinstance(event, FileSaved)))


def test_digits_are_packed_with_their_profile(tmp_path: Path) -> None:
    events = imported(tmp_path, DIGITS)
    assert isinstance(events[-1], Stopped)
    assert [event.name for event in events if isinstance(event, FileSaved)] == [
        "meta.json",
        "x.npy",
        "y.npy",
        "split.npy",
    ]
    dataset, profile = packed(events), content(events).content.profile
    assert dataset.x.shape == (1797, 8, 8, 1)
    assert dataset.x.dtype == np.uint8
    assert int(dataset.x.max()) == 255
    assert profile.meta.counts == {"train": 1439, "val": 179, "test": 179}
    assert sum(profile.class_counts["train"].values()) == 1439
    train = dataset.x[dataset.indices("train")] / 255
    assert profile.meta.mean == pytest.approx([train.mean()])
    assert profile.meta.std == pytest.approx([train.std()])


def test_the_split_is_part_of_the_hash(tmp_path: Path) -> None:
    first = content(imported(tmp_path / "a", DIGITS)).content.hash
    again = content(imported(tmp_path / "b", DIGITS)).content.hash
    other = content(imported(tmp_path / "c", DIGITS | {"options": {"split": {"seed": 7}}})).content.hash
    assert first == again
    assert first != other


def test_missing_files_are_named_with_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="FashionMNIST") as caught:
        imported(tmp_path, {"kind": "torchvision", "name": "FashionMNIST"}, tmp_path)
    assert caught.value.reason == "files-not-found"


def test_path_outside_the_data_roots_is_refused_even_through_a_link(tmp_path: Path) -> None:
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    secret.mkdir()
    (allowed / "link").symlink_to(secret)
    for path in (secret, allowed / ".." / "secret", allowed / "link"):
        with pytest.raises(ImportRefusedError) as caught:
            imported(tmp_path / "scratch", {"kind": "torchvision", "name": "MNIST", "path": str(path)}, allowed)
        assert caught.value.reason == "path-not-allowed"
        assert f"TRAINWRIGHT_DATA_ROOTS: {allowed})" in str(caught.value)
    with pytest.raises(ImportRefusedError, match=r"not under .*: /data,/more \(no folder\)\)"):
        imported(tmp_path / "scratch", {"kind": "path", "path": "/data/photographs"}, Path("/data,/more"))
    with pytest.raises(ImportRefusedError, match="TRAINWRIGHT_DATA_ROOTS: none"):
        imported(tmp_path / "scratch", {"kind": "path", "path": "/data/photographs"})


def test_the_split_and_the_classes_names_are_part_of_the_hash(tmp_path: Path) -> None:
    files = two_classes(20)
    tree = write_folder(tmp_path / "tree", files)
    first, again = import_path(tree), import_path(tree)
    assert first.hash == again.hash
    assert first.hash != import_path(tree, split={"seed": 1}).hash
    renamed = {name.replace("cats", "kittens"): data for name, data in files.items()}
    assert first.hash != import_path(write_folder(tmp_path / "renamed", renamed)).hash
