"""What an import says of the data: each mistake is told before training, and sound data get no warning."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import Imported, import_path, run_import, two_classes, write_folder

SEVERE = ("warning", "critical")


def severe(imported: Imported) -> set[str]:
    return {each.name for each in imported.profile.findings if each.severity in SEVERE}


def arrays(folder: Path, x: Any, y: Any, **more: Any) -> Imported:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "a.npz", X=x, y=y, **more)
    return import_path(folder / "a.npz")


def evidence(imported: Imported, name: str) -> dict[str, Any]:
    finding = imported.finding(name)
    assert finding is not None, [each.name for each in imported.profile.findings]
    assert finding.remedy.text
    return dict(finding.evidence)


def recompressed(data: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(data)), "JPEG", quality=90)


def test_sound_data_get_no_warning(tmp_path: Path) -> None:
    assert severe(import_path(write_folder(tmp_path / "tree", two_classes(60)))) == set()
    assert severe(run_import(tmp_path / "digits", {"kind": "builtin", "name": "digits"})) == set()
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    assert severe(arrays(tmp_path / "npz", rng.normal(size=(300, 4)) + y[:, None], y)) == set()


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


def test_a_class_that_train_lacks_is_critical(tmp_path: Path) -> None:
    files = {f"train/{name}": data for name, data in two_classes(20).items()}
    files |= {f"test/{name}": data for name, data in two_classes(4).items()}
    files |= {"test/birds/1.png": encoded(picture(500))}
    imported = import_path(write_folder(tmp_path / "tree", files))
    finding = imported.finding("class_missing")
    assert finding is not None
    assert finding.severity == "critical"
    assert finding.evidence["missing_in_train"] == ["birds"]
    assert imported.profile.class_counts["test"] == {"birds": 1, "cats": 2, "dogs": 2}


def test_imbalance_names_both_classes(tmp_path: Path) -> None:
    files = {f"common/{n}.png": encoded(picture(n)) for n in range(66)}
    files |= {f"rare/{n}.png": encoded(picture(100 + n)) for n in range(5)}
    found = evidence(import_path(write_folder(tmp_path / "tree", files)), "imbalance")
    assert (found["commonest"], found["rarest"]) == ("common", "rare")
    assert found["ratio"] > 10


def test_the_features_mistakes_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(1, 4, 400))
    x = rng.normal(size=(400, 6))
    x[:, 1] = 7.0
    x[:, 2] = x[:, 0]
    x[:, 3] = y * 10.0 + rng.normal(size=400) * 0.01
    x[:, 4] = x[:, 4] * 1e5 + 3e5
    names = np.array(["a", "constant", "copy", "leak", "large", "f"])
    imported = arrays(tmp_path, x, y, feature_names=names)
    assert evidence(imported, "constant_features")["examples"] == ["constant"]
    assert evidence(imported, "duplicate_features")["examples"] == ["copy = a"]
    assert evidence(imported, "target_leak")["features"] == ["leak"]
    assert "large" in evidence(imported, "not_normalised")["concerned"]
    assert evidence(imported, "sorted_labels")["neighbours_alike"] > 0.9
    assert evidence(imported, "labels_not_from_zero")["first"] == 1
    assert {"constant_features", "target_leak", "not_normalised"} <= severe(imported)


def test_mean_and_deviation_are_those_of_train_even_for_large_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = (1e6 + rng.normal(size=(500, 2))).astype(np.float32)
    meta = arrays(tmp_path, x, rng.integers(0, 2, 500))
    train = meta.dataset.x[meta.dataset.indices("train")].astype(np.float64)
    assert meta.profile.meta.mean == pytest.approx(train.mean(0).tolist())
    assert meta.profile.meta.std == pytest.approx(train.std(0).tolist(), rel=1e-6)


def test_blank_and_long_pictures_are_listed(tmp_path: Path) -> None:
    files = two_classes(20)
    files |= {"cats/black.png": encoded(Image.new("RGB", (40, 40))),
              "dogs/white.png": encoded(Image.new("RGB", (40, 40), "white")),
              "dogs/long.png": encoded(picture(70, (400, 40)))}  # fmt: skip
    imported = import_path(write_folder(tmp_path / "tree", files))
    assert evidence(imported, "blank_pictures")["examples"] == ["cats/black.png", "dogs/white.png"]
    assert evidence(imported, "odd_aspect")["examples"] == ["400x40"]
    assert imported.profile.sizes == {"40x40": 22, "400x40": 1}


def test_the_split_and_the_classes_names_are_part_of_the_hash(tmp_path: Path) -> None:
    files = two_classes(20)
    tree = write_folder(tmp_path / "tree", files)
    first, again = import_path(tree), import_path(tree)
    assert first.hash == again.hash
    assert first.hash != import_path(tree, split={"seed": 1}).hash
    renamed = {name.replace("cats", "kittens"): data for name, data in files.items()}
    assert first.hash != import_path(write_folder(tmp_path / "renamed", renamed)).hash
