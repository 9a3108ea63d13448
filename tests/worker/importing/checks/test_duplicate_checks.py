"""Duplicates: counted, kept in one split, dropped when asked; what leaks between given splits is told."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.checks.profiles import evidence
from tests.worker.importing.imports import import_path, two_classes, write_folder


def recompressed(data: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(data)), "JPEG", quality=90)


def test_copies_are_counted_and_dropped_when_asked(tmp_path: Path) -> None:
    files = two_classes(20)
    files |= {"cats/copy.png": files["cats/001.png"], "dogs/copy.png": files["dogs/002.png"],
              "dogs/other.png": files["cats/003.png"]}  # fmt: skip
    tree = write_folder(tmp_path / "tree", files)
    imported = import_path(tree)
    assert imported.profile.duplicates == {"exact": 6, "near": 6, "cross_split": 0, "contradicting": 2}
    assert evidence(imported, "exact_duplicates")["copies"] == 3
    assert "dogs/other.png (dogs)" in evidence(imported, "contradicting_labels")["examples"][0]
    assert ["cats/001.png", "cats/copy.png"] in imported.profile.duplicate_groups
    kept = import_path(tree, drop_duplicates=True)
    assert len(kept.dataset.y) == kept.dataset.x.shape[0] == 20
    assert kept.profile.duplicates["exact"] == 0


def test_near_duplicates_stay_in_one_split(tmp_path: Path) -> None:
    files = two_classes(40)
    files |= {name.replace(".png", "-again.jpg"): recompressed(data) for name, data in files.items()}
    imported = import_path(write_folder(tmp_path / "tree", files), split={"val": 0.25, "test": 0.25})
    assert imported.profile.duplicates["near"] == 80
    assert imported.profile.duplicates["cross_split"] == 0
    names = sorted(files)
    split = dict(zip(names, imported.dataset.split.tolist(), strict=True))
    assert all(split[name] == split[name.replace(".png", "-again.jpg")] for name in names if name.endswith(".png"))
    assert min(imported.profile.meta.counts.values()) >= 16


def test_leakage_between_given_splits_is_told_and_dropping_copies_keeps_the_test(tmp_path: Path) -> None:
    files = {f"train/{name}": data for name, data in two_classes(40).items()}
    leaked = {name.replace("train", "test"): data for name, data in list(files.items())[:6]}
    fresh = {f"test/{'cats' if n % 2 else 'dogs'}/{n}.png": encoded(picture(n)) for n in range(100, 110)}
    tree = write_folder(tmp_path / "tree", files | leaked | fresh)
    imported = import_path(tree)
    assert imported.profile.duplicates["cross_split"] == 6
    finding = imported.finding("leakage")
    assert finding is not None
    assert finding.severity == "critical"
    assert finding.evidence["share_of_test"] == pytest.approx(6 / 16)
    clean = import_path(tree, drop_duplicates=True)
    assert clean.profile.duplicates["cross_split"] == 0
    assert clean.profile.meta.counts["test"] == 16
