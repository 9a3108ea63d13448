"""torchvision's classification datasets: of which parts each consists, and the files that each part needs.

A part is one object of torchvision's class; its split is the one that the class names, or None where the dataset has
none and the import draws them. Paths are below the folder that torchvision calls `root`; `{}` is the part's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from service.catalog.datasets import CELEBA_ATTRIBUTES
from worker.importing.splits import TEST, TRAIN, VAL

TWO = {"train": TRAIN, "test": TEST}
THREE = {"train": TRAIN, "val": VAL, "test": TEST}
VALID = {"train": TRAIN, "valid": VAL, "test": TEST}
HELD = {"train": TRAIN, "val": VAL}
DIGITS = tuple(str(digit) for digit in range(10))
FEELINGS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@dataclass(frozen=True)
class Part:
    """The arguments of torchvision's class for one split, and the files and folders that it reads."""

    split: int | None
    options: Mapping[str, Any]
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """One dataset; `variants` are its editions (annotations, image sizes, years), the first is the default."""

    variants: Mapping[str, tuple[Part, ...]]
    classes: tuple[str, ...] = ()
    """Names of labels 0, 1, ... where torchvision has none and the labels do not speak for themselves."""
    can_download: bool = True


def _one(parts: tuple[Part, ...], classes: tuple[str, ...] = (), *, can_download: bool = True) -> Known:
    return Known({"default": parts}, classes, can_download)


def _whole(*needs: str, **options: Any) -> tuple[Part, ...]:
    """A dataset without splits of its own."""
    return (Part(None, options, needs),)


def _by_train(*needs: str, names: tuple[str, str] = ("train", "test"), **options: Any) -> tuple[Part, ...]:
    """Classes that take `train=True` or False."""
    return tuple(
        Part(number, options | {"train": number == TRAIN}, tuple(need.format(name) for need in needs))
        for name, number in zip(names, (TRAIN, TEST), strict=True)
    )


def _by_split(splits: Mapping[str, int], *needs: str, **options: Any) -> tuple[Part, ...]:
    """Classes that take `split="train"` and the like."""
    return tuple(
        Part(number, options | {"split": name}, tuple(need.format(name) for need in needs))
        for name, number in splits.items()
    )


def _mnist(name: str) -> Known:
    files = (f"{name}/raw/{{}}-images-idx3-ubyte", f"{name}/raw/{{}}-labels-idx1-ubyte")
    return _one(_by_train(*files, names=("train", "t10k")))


def _emnist(edition: str) -> tuple[Part, ...]:
    stem = f"EMNIST/raw/emnist-{edition}-{{}}"
    return _by_train(f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte", split=edition)


def _svhn(*more: str) -> tuple[Part, ...]:
    return _by_split(TWO | dict.fromkeys(more, TRAIN), "{}_32x32.mat")


def _stl10() -> tuple[Part, ...]:
    files = (f"stl10_binary/{name}.bin" for name in ("train_X", "train_y", "test_X", "test_y", "unlabeled_X"))
    return _by_split(TWO, *files)


def _pcam(name: str, number: int, file: str) -> Part:
    stem = f"pcam/camelyonpatch_level_2_split_{file}"
    return Part(number, {"split": name}, (f"{stem}_x.h5", f"{stem}_y.h5"))


def _gtsrb() -> tuple[Part, ...]:
    train = Part(TRAIN, {"split": "train"}, ("gtsrb/GTSRB/Training",))
    test = Part(TEST, {"split": "test"}, ("gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"))
    return (train, test)


def _cars() -> tuple[Part, ...]:
    folder, meta = "stanford_cars", "stanford_cars/devkit/cars_meta.mat"
    train = (f"{folder}/cars_train", f"{folder}/devkit/cars_train_annos.mat", meta)
    test = (f"{folder}/cars_test", f"{folder}/cars_test_annos_withlabels.mat", meta)
    return (Part(TRAIN, {"split": "train"}, train), Part(TEST, {"split": "test"}, test))


def _sst2() -> tuple[Part, ...]:
    folders = {"train": "train", "val": "valid", "test": "test"}
    return tuple(Part(number, {"split": name}, (f"rendered-sst2/{folders[name]}",)) for name, number in THREE.items())


def _places(size: str, *, small: bool) -> tuple[Part, ...]:
    categories = "categories_places365.txt"
    train = (categories, "places365_train_standard.txt", f"data_{size}_standard")
    val = (categories, "places365_val.txt", f"val_{size}")
    return (
        Part(TRAIN, {"split": "train-standard", "small": small}, train),
        Part(VAL, {"split": "val", "small": small}, val),
    )


def _inaturalist(train: str) -> tuple[Part, ...]:
    """Only the editions of 2021 have a val split."""
    if not train.startswith("2021"):
        return _whole(train, version=train)
    return tuple(Part(number, {"version": name}, (name,)) for name, number in ((train, TRAIN), ("2021_valid", VAL)))


def _lfw(image_set: str, folder: str) -> tuple[Part, ...]:
    archive = folder.replace("_", "-") + ".tgz"  # torchvision wants to see it beside what was in it
    files = (f"lfw-py/{name}" for name in (folder, archive, "people.txt", "lfw-names.txt"))
    return _whole(*files, split="10fold", image_set=image_set)


def _omniglot(name: str) -> tuple[Part, ...]:
    stem = f"omniglot-py/images_{name}"
    return _whole(stem, f"{stem}.zip", background=name == "background")


KNOWN: Mapping[str, Known] = MappingProxyType({
    "MNIST": _mnist("MNIST"),
    "FashionMNIST": _mnist("FashionMNIST"),
    "KMNIST": _mnist("KMNIST"),
    "EMNIST": Known({
        name: _emnist(name) for name in ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")
    }),
    "QMNIST": _one(_by_train("QMNIST/raw/qmnist-{}-images-idx3-ubyte", "QMNIST/raw/qmnist-{}-labels-idx2-int")),
    "USPS": _one(_by_train("{}.bz2", names=("usps", "usps.t")), DIGITS),
    "SEMEION": _one(_whole("semeion.data"), DIGITS),
    "CIFAR10": _one(_by_train(*(f"cifar-10-batches-py/{name}" for name in (
        *(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta",
    )))),
    "CIFAR100": _one(_by_train(*(f"cifar-100-python/{name}" for name in ("train", "test", "meta")))),
    "SVHN": Known({"standard": _svhn(), "extra": _svhn("extra")}, DIGITS),
    "STL10": _one(_stl10()),
    "FER2013": _one(_by_split(TWO, "fer2013"), FEELINGS, can_download=False),
    "PCAM": _one(
        (_pcam("train", TRAIN, "train"), _pcam("val", VAL, "valid"), _pcam("test", TEST, "test")),
        ("no tumour", "tumour"), can_download=False,
    ),
    "EuroSAT": _one(_whole("eurosat/2750")),
    "GTSRB": _one(_gtsrb()),
    "DTD": Known({
        f"{number}": _by_split(THREE, "dtd/dtd/images", f"dtd/dtd/labels/{{}}{number}.txt", partition=number)
        for number in range(1, 11)
    }),
    "Flowers102": _one(
        _by_split(THREE, "flowers-102/jpg", "flowers-102/imagelabels.mat", "flowers-102/setid.mat")
    ),
    "Food101": _one(_by_split(TWO, "food-101/images", "food-101/meta/{}.json")),
    "OxfordIIITPet": Known({
        target: _by_split(
            {"trainval": TRAIN, "test": TEST}, "oxford-iiit-pet/images", "oxford-iiit-pet/annotations/{}.txt",
            target_types=target,
        )
        for target in ("category", "binary-category")
    }),
    "FGVCAircraft": Known({
        level: _by_split(
            THREE, "fgvc-aircraft-2013b/data/images", f"fgvc-aircraft-2013b/data/images_{level}_{{}}.txt",
            annotation_level=level,
        )
        for level in ("variant", "family", "manufacturer")
    }),
    "StanfordCars": _one(_cars(), can_download=False),
    "Caltech101": _one(_whole("caltech101/101_ObjectCategories/BACKGROUND_Google")),
    "Caltech256": _one(_whole("caltech256/256_ObjectCategories")),
    "Country211": _one(_by_split(VALID, "country211/{}")),
    "Imagenette": Known({
        size: _by_split(HELD, f"{folder}/{{}}", size=size)
        for size, folder in (("full", "imagenette2"), ("320px", "imagenette2-320"), ("160px", "imagenette2-160"))
    }),
    "ImageNet": _one(_by_split(HELD, "meta.bin", "{}"), can_download=False),
    "Places365": Known({"large": _places("large", small=False), "small": _places("256", small=True)}),
    "INaturalist": Known({
        name: _inaturalist(name) for name in ("2021_train", "2021_train_mini", "2019", "2018", "2017")
    }),
    "SUN397": _one(_whole("SUN397/ClassName.txt")),
    "RenderedSST2": _one(_sst2()),
    "LFWPeople": Known({
        name: _lfw(name, folder)
        for name, folder in (("funneled", "lfw_funneled"), ("original", "lfw"), ("deepfunneled", "lfw-deepfunneled"))
    }, can_download=False),
    "Omniglot": Known({name: _omniglot(name) for name in ("background", "evaluation")}),
    "CLEVRClassification": _one(
        _by_split(HELD, "clevr/CLEVR_v1.0/images/{}", "clevr/CLEVR_v1.0/scenes/CLEVR_{}_scenes.json")
    ),
    "CelebA": Known({
        name: _by_split(VALID, "celeba/img_align_celeba", "celeba/list_attr_celeba.txt", target_type="attr")
        for name in CELEBA_ATTRIBUTES
    }, ("no", "yes"), can_download=False),
})  # fmt: skip
