"""One part of a known dataset, as torchvision's own class reads it: pictures by path, or pixels; labels by name.

Files are listed, never decoded here: the import's decoders do that. Where a class keeps pixels in memory, its own
`__getitem__` hands them out. Of the formats that could run code when they are read, the only pickles are CIFAR's, and
torchvision opens those only when their checksums are the official ones.
"""

import csv
import pickle
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from service.errors import ImportRefusedError
from worker.engine.runtime.torchvision_shim import torchvision
from worker.importing.known.catalog import KNOWN, Part
from worker.importing.names import distinct, printable

FAULTS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, csv.Error, pickle.UnpicklingError, zlib.error, MatReadError,
)  # fmt: skip
"""What torchvision's classes raise when files are missing or are not what they should be."""
IN_MEMORY = ("CIFAR10", "CIFAR100", "EMNIST", "FER2013", "FashionMNIST", "KMNIST", "MNIST", "PCAM", "QMNIST", "SEMEION",
             "STL10", "SVHN", "USPS")  # fmt: skip
WITHOUT_LOADER = ("Caltech101", "Caltech256", "CelebA", "GTSRB", "OxfordIIITPet")
WITHOUT_DOWNLOAD = ("FER2013", "ImageNet")
MATLAB_UNCHECKED = ("StanfordCars",)
"""Their .mat files have no checksums, and SciPy's reader may crash on damaged ones: another process tries first."""
MATLAB_SECONDS = 60
ADVICE = "You can use download=True to download it"


def open_part(name: str, variant: str, part: Part, root: Path, *, download: bool = False) -> "OpenedPart":
    """The part below a root; ImportRefusedError with what torchvision says when it cannot be read."""
    options = dict(part.options)
    if name not in WITHOUT_DOWNLOAD:
        options["download"] = download
    if name not in (*IN_MEMORY, *WITHOUT_LOADER):
        options["loader"] = Path  # items are paths, not decoded pictures
    if name in MATLAB_UNCHECKED:
        _try_matlab([root / need for need in part.needs if need.endswith(".mat")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are empty; what comes of them is an error
            dataset = getattr(torchvision.datasets, name)(str(root), **options)
        return OpenedPart(name, part, root, dataset, _names(name, variant, dataset), variant)
    except FAULTS as error:
        said = printable(str(error)).replace(ADVICE, "").strip()
        raise ImportRefusedError(
            "download-failed" if download else "files-damaged",
            f"torchvision cannot read {name} below {root}: {said[:500]} (it reads {', '.join(part.needs)}; where it "
            "knows their checksums, they have to be the official ones)",
        ) from error


@dataclass(frozen=True)
class OpenedPart:
    """A part that has been opened."""

    name: str
    part: Part
    root: Path
    dataset: Any
    names: list[str]
    """Of labels 0, 1, ...; empty where the labels speak for themselves."""
    variant: str

    def __len__(self) -> int:
        return len(self.dataset)

    def is_labelled(self) -> bool:
        """Whether there are labels; some test parts have none."""
        try:
            return len(self) > 0 and self.dataset[0][1] is not None
        except FAULTS as error:
            raise self._refusal(error) from error

    def pictures(self) -> list[tuple[Path, str]]:
        """Path and label of every picture, in the order of the paths, which is the same on every disk."""
        try:
            return sorted((path, self._label(label)) for path, label in _files(self.name, self.variant, self.dataset))
        except FAULTS as error:
            raise self._refusal(error) from error

    def pixels(self) -> Iterator[tuple[NDArray[np.uint8], str]]:
        """Pixels (H,W,C) and label of every picture."""
        try:
            for index in range(len(self)):
                image, label = self.dataset[index]
                pixels = np.asarray(image, np.uint8)
                yield (pixels if pixels.ndim == 3 else pixels[..., None]), self._label(label)
        except FAULTS as error:
            raise self._refusal(error) from error

    def _label(self, label: Any) -> str:
        number = int(label)
        if not self.names:
            return str(number)
        if not 0 <= number < len(self.names):
            raise ValueError(f"label {number} of {len(self.names)} classes")
        return self.names[number]

    def _refusal(self, error: Exception) -> ImportRefusedError:
        said = printable(f"{type(error).__name__}: {error}")
        return ImportRefusedError(
            "files-damaged", f"{self.name} below {self.root} is not as it should be: {said[:500]}"
        )


def _try_matlab(paths: Sequence[Path]) -> None:
    code = "import sys, scipy.io\nfor path in sys.argv[1:]: scipy.io.loadmat(path, squeeze_me=True)"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *map(str, paths)], capture_output=True, timeout=MATLAB_SECONDS
        )
    except subprocess.TimeoutExpired:
        is_read = False
    else:
        is_read = done.returncode == 0
    if not is_read:
        raise ImportRefusedError("files-damaged", "cannot be read: " + " or ".join(path.name for path in paths))


def merge(named: Sequence[Sequence[str]], labels: Iterable[str]) -> list[str]:
    """The classes of all parts: each may number only those that it has; bare labels are in the order of their size."""
    known = list(dict.fromkeys(name for names in named for name in names))
    return known or sorted(set(labels), key=int)


def _files(name: str, variant: str, dataset: Any) -> Iterable[tuple[Path, Any]]:
    match name:
        case "GTSRB":
            return ((Path(path), label) for path, label in dataset._samples)
        case "OxfordIIITPet":
            labels = dataset._labels if variant == "category" else dataset._bin_labels
            return zip(dataset._images, labels, strict=True)
        case "Caltech101" | "Caltech256":
            return _caltech(name, dataset)
        case "CelebA":
            flags = dataset.attr[:, dataset.attr_names.index(variant)].tolist()
            folder = Path(dataset.root, dataset.base_folder, "img_align_celeba")
            return zip((folder / file for file in dataset.filename), flags, strict=True)
        case _:
            return (dataset[index] for index in range(len(dataset)))


def _caltech(name: str, dataset: Any) -> Iterator[tuple[Path, int]]:
    """The files as the two classes' `__getitem__` names them."""
    folder = Path(dataset.root, f"{name[-3:]}_ObjectCategories")
    for label, number in zip(dataset.y, dataset.index, strict=True):
        prefix = f"{label + 1:03d}" if name == "Caltech256" else "image"
        yield folder / dataset.categories[label] / f"{prefix}_{number:04d}.jpg", label


def _names(name: str, variant: str, dataset: Any) -> list[str]:
    if KNOWN[name].classes:
        return list(KNOWN[name].classes)
    match name:
        case "OxfordIIITPet" if variant == "binary-category":
            names = dataset.bin_classes
        case "Caltech101" | "Caltech256":
            names = dataset.categories
        case "INaturalist":
            names = dataset.all_categories
        case "Omniglot":
            names = dataset._characters
        case "LFWPeople":
            names = list(dataset.class_to_idx)
        case _:
            names = getattr(dataset, "classes", [])
    firsts = (name[0] if isinstance(name, tuple) else name for name in names)
    return distinct((printable(str(name).strip()) for name in firsts), "{name} ({number})")  # ImageNet has two `crane`
