"""Each known dataset: pictures, labels and splits are those that torchvision's own class gives."""

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.catalog import datasets
from service.errors import ImportRefusedError
from tests.worker.importing.known import torchvision_files as files
from tests.worker.importing.known.known_imports import imported, outcome, refusal
from worker.engine.runtime.torchvision_shim import torchvision
from worker.importing.known.catalog import KNOWN

D = torchvision.datasets
Parts = dict[str, dict[str, Any]]
BY_TRAIN: Parts = {"train": {"train": True}, "test": {"train": False}}
TWO: Parts = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE: Parts = TWO | {"val": {"split": "val"}}
VALID: Parts = TWO | {"val": {"split": "valid"}}
HELD: Parts = {"train": {"split": "train"}, "val": {"split": "val"}}
WHOLE: Parts = {"all": {}}


def parts(of: Parts, **options: Any) -> Parts:
    return {split: given | options for split, given in of.items()}


CASES: list[tuple[str, str | None, Parts]] = [
    ("MNIST", None, BY_TRAIN),
    ("EMNIST", None, parts(BY_TRAIN, split="balanced")),
    ("EMNIST", "letters", parts(BY_TRAIN, split="letters")),
    ("QMNIST", None, BY_TRAIN),
    ("USPS", None, BY_TRAIN),
    ("SEMEION", None, {"all": {"download": False}}),
    ("CIFAR10", None, BY_TRAIN),
    ("CIFAR100", None, BY_TRAIN),
    ("SVHN", None, TWO),
    ("STL10", None, TWO),
    ("FER2013", None, TWO),
    ("EuroSAT", None, WHOLE),
    ("GTSRB", None, TWO),
    ("DTD", None, THREE),
    ("DTD", "2", parts(THREE, partition=2)),
    ("Flowers102", None, THREE),
    ("Food101", None, TWO),
    ("OxfordIIITPet", None, TWO | {"train": {"split": "trainval"}}),
    ("OxfordIIITPet", "binary-category", parts(TWO | {"train": {"split": "trainval"}}, target_types="binary-category")),
    ("FGVCAircraft", None, THREE),
    ("FGVCAircraft", "manufacturer", parts(THREE, annotation_level="manufacturer")),
    ("StanfordCars", None, TWO),
    ("Caltech101", None, WHOLE),
    ("Caltech256", None, WHOLE),
    ("Country211", None, VALID),
    ("Imagenette", None, HELD),
    ("Imagenette", "160px", parts(HELD, size="160px")),
    ("ImageNet", None, HELD),
    ("Places365", "small", parts(HELD | {"train": {"split": "train-standard"}}, small=True)),
    ("INaturalist", "2021_train_mini", {"train": {"version": "2021_train_mini"}, "val": {"version": "2021_valid"}}),
    ("SUN397", None, WHOLE),
    ("RenderedSST2", None, THREE),
    ("LFWPeople", None, WHOLE),
    ("Omniglot", None, WHOLE),
    ("CLEVRClassification", None, HELD),
    ("CelebA", None, parts(VALID, target_type="attr")),
    ("CelebA", "Bald", parts(VALID, target_type="attr")),
]  # fmt: skip
CALLED = {
    ("CIFAR10", None): ["airplane", "automobile", "bird"],
    ("OxfordIIITPet", None): ["Abyssinian", "American Bulldog"],
    ("OxfordIIITPet", "binary-category"): ["Cat", "Dog"],
    ("ImageNet", None): ["tench", "crane", "crane (2)"],
    ("GTSRB", None): ["0", "1"],
    ("CLEVRClassification", None): ["3", "10"],
    ("Caltech101", None): ["accordion", "zebra"],
    ("SUN397", None): ["abbey", "zoo/indoor"],
    ("EMNIST", "letters"): list("abcdefghijklmnopqrstuvwxyz"),
    ("LFWPeople", None): ["Aaron_Eckhart", "Zico"],
    ("CelebA", "Bald"): ["no", "yes"],
}


def number(name: str, variant: str | None, label: Any) -> int:
    """A label of torchvision's as ours, which start at 0 and are single numbers."""
    if name == "CLEVRClassification":
        return {3: 0, 10: 1}[label]
    if name == "CelebA":
        return int(label[("Bald", "Smiling").index(variant or "Smiling")])
    return int(label) - (variant == "letters")


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize(("name", "variant", "wanted"), CASES)
def test_pictures_labels_and_splits_are_torchvisions(
    tmp_path: Path, name: str, variant: str | None, wanted: Parts
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    files.FILES[name](root)
    result = imported(root, name, variant)
    splits = np.array(["train", "val", "test"])[result.dataset.split]
    ours = [
        (pixels.squeeze().tobytes(), int(label), split)
        for pixels, label, split in zip(result.dataset.x, result.dataset.y, splits, strict=True)
    ]
    theirs = [
        (np.asarray(image).tobytes(), number(name, variant, label), split)
        for split, options in wanted.items()
        for image, label in getattr(D, name)(str(root), **options)
    ]
    assert sorted(sample[:2] for sample in ours) == sorted(sample[:2] for sample in theirs)
    assert result.profile.meta.classes == CALLED.get((name, variant), result.profile.meta.classes)
    held = {split for split in wanted if split != "all"} - {"train"}
    assert sorted(sample for sample in ours if sample[2] in held) == sorted(
        sample for sample in theirs if sample[2] in held
    )


def test_histology_needs_h5py_and_says_so(tmp_path: Path) -> None:
    if find_spec("h5py") is None:
        for name in ("train", "valid", "test"):
            for what in "xy":
                files.put(tmp_path / f"pcam/camelyonpatch_level_2_split_{name}_{what}.h5", b"")
        with pytest.raises(ImportRefusedError, match="h5py"):
            imported(tmp_path, "PCAM")
    else:
        files.pcam(tmp_path)
        result = imported(tmp_path, "PCAM")
        assert result.profile.meta.counts == {"train": 6, "val": 6, "test": 6}
        assert result.profile.meta.classes == ["no tumour", "tumour"]


class Trap:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_that_are_not_the_official_ones_are_not_opened(tmp_path: Path) -> None:
    files.cifar10(tmp_path)
    mark = tmp_path / "mark"
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        path.write_bytes(pickle.dumps(Trap(mark)))
    error = refusal(tmp_path, "CIFAR10")
    assert error.reason == "files-damaged"
    assert "checksums" in error.detail
    assert not mark.exists()


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("CIFAR10", "cifar-10-batches-py/data_batch_3"),
        ("STL10", "stl10_binary/train_X.bin"),
        ("STL10", "stl10_binary/test_y.bin"),
        ("USPS", "usps.t.bz2"),
        ("SEMEION", "semeion.data"),
        ("EMNIST", "EMNIST/raw/emnist-balanced-train-images-idx3-ubyte"),
        ("QMNIST", "QMNIST/raw/qmnist-test-labels-idx2-int"),
        ("FER2013", "fer2013/fer2013.csv"),
        ("GTSRB", "gtsrb/GT-final_test.csv"),
        ("Food101", "food-101/meta/train.json"),
        ("OxfordIIITPet", "oxford-iiit-pet/annotations/test.txt"),
        ("ImageNet", "meta.bin"),
        ("StanfordCars", "stanford_cars/devkit/cars_meta.mat"),
        ("CLEVRClassification", "clevr/CLEVR_v1.0/scenes/CLEVR_train_scenes.json"),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, file: str, damage: str) -> None:
    files.FILES[name](tmp_path)
    data = (tmp_path / file).read_bytes()
    other = np.random.default_rng(1).bytes(len(data))
    (tmp_path / file).write_bytes(data[: len(data) * 2 // 3] if damage == "cut" else other)
    codes = ("files-damaged", "files-not-found", "one-class", "read")
    assert outcome(tmp_path, name) in codes


@pytest.mark.parametrize(("name", "file"), [("SVHN", "test_32x32.mat"), ("Flowers102", "flowers-102/setid.mat")])
def test_files_whose_checksums_are_known_are_not_even_opened_when_they_are_damaged(
    tmp_path: Path, name: str, file: str
) -> None:
    """SciPy's reader of .mat files may crash on damaged ones."""
    files.FILES[name](tmp_path)
    assert outcome(tmp_path, name) == "files-damaged"
    (tmp_path / file).unlink()
    assert outcome(tmp_path, name) == "files-not-found"


def test_catalogue_and_table_name_the_same() -> None:
    known = {name: dataset.variants or ("default",) for name, dataset in datasets.KNOWN.items()}
    assert known == {name: tuple(dataset.variants) for name, dataset in KNOWN.items()}
    assert set(files.FILES) == set(KNOWN) - {"FashionMNIST", "KMNIST"}
    assert {name for name, _, _ in CASES} == set(files.FILES) - {"PCAM"}
