"""Tiny sets of files in the formats of torchvision's datasets; their checksums are not the official ones."""

import bz2
import csv
import itertools
import json
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch

from tests.service.pictures.drawings import encoded, picture

COUNT = itertools.count()


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def photo(path: Path, mode: str = "RGB") -> Path:
    """One more picture, different from all others."""
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "ppm": "PPM", "png": "PNG"}[path.suffix[1:].lower()]
    return put(path, encoded(picture(next(COUNT), mode=mode), kind))


def classes(folder: Path, names: Iterable[str], suffix: str = "jpg", stem: str = "{n}") -> None:
    """A folder with three pictures for each class."""
    for name in names:
        for n in range(1, 4):
            photo(folder / name / f"{stem.format(n=n)}.{suffix}")


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(next(COUNT)).integers(0, 256, shape, np.uint8)


def idx(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    head = bytes([0, 0, code, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        put(folder / name, pickle.dumps({"data": noise(4, 3072), "labels": [0, 1, 2, 1]}))
    put(folder / "batches.meta", pickle.dumps({"label_names": ["airplane", "automobile", "bird"]}))


def cifar100(root: Path) -> None:
    for name in ("train", "test"):
        put(root / "cifar-100-python" / name, pickle.dumps({"data": noise(9, 3072), "fine_labels": [0, 1, 2] * 3}))
    put(root / "cifar-100-python" / "meta", pickle.dumps({"fine_label_names": ["apple", "aquarium_fish", "baby"]}))


def svhn(root: Path) -> None:
    for name in ("train", "test", "extra"):
        scipy.io.savemat(root / f"{name}_32x32.mat", {"X": noise(32, 32, 3, 20), "y": np.arange(20)[:, None] % 10 + 1})


def stl10(root: Path) -> None:
    for name, count in (("train", 6), ("test", 6), ("unlabeled", 2)):
        put(root / "stl10_binary" / f"{name}_X.bin", noise(count, 3, 96, 96).tobytes())
        put(root / "stl10_binary" / f"{name}_y.bin", bytes([1, 2, 3] * (count // 3)))
    put(root / "stl10_binary" / "class_names.txt", "airplane\nbird\ncar\n")


def gtsrb(root: Path) -> None:
    classes(root / "gtsrb/GTSRB/Training", ("00000", "00001"), "ppm")
    for n in range(4):
        photo(root / "gtsrb/GTSRB/Final_Test/Images" / f"{n:05d}.ppm")
    rows = "".join(f"{n:05d}.ppm;40;40;1;1;9;9;{n % 2}\n" for n in range(4))
    put(root / "gtsrb/GT-final_test.csv", "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n" + rows)


def flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    for n in range(1, 19):
        photo(folder / "jpg" / f"image_{n:05d}.jpg")
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.arange(18)[None] % 3 + 1})
    ids = {"trnid": [[1, 2, 3, 7, 8, 9]], "valid": [[4, 5, 6]], "tstid": [[*range(10, 19)]]}
    scipy.io.savemat(folder / "setid.mat", ids)


def pets(root: Path) -> None:
    for name, first in (("trainval", 1), ("test", 10)):
        lines = []
        for n in range(first, first + 3):
            for label, (breed, kind) in enumerate((("Abyssinian", 1), ("american_bulldog", 2)), 1):
                photo(root / "oxford-iiit-pet/images" / f"{breed}_{n}.jpg")
                lines.append(f"{breed}_{n} {label} {kind} 1")
        put(root / f"oxford-iiit-pet/annotations/{name}.txt", "\n".join(lines) + "\n")


def food101(root: Path) -> None:
    classes(root / "food-101/images", ("apple_pie", "waffles"))
    for name, numbers in (("train", (1, 2)), ("test", (3,))):
        listed = {label: [f"{label}/{n}" for n in numbers] for label in ("apple_pie", "waffles")}
        put(root / f"food-101/meta/{name}.json", json.dumps(listed))


def dtd(root: Path) -> None:
    classes(root / "dtd/dtd/images", ("banded", "woven"))
    for n, name in enumerate(("train", "val", "test"), 1):
        put(root / f"dtd/dtd/labels/{name}1.txt", f"banded/{n}.jpg\nwoven/{n}.jpg\n")
    for n, name in enumerate(("test", "val", "train"), 1):
        put(root / f"dtd/dtd/labels/{name}2.txt", f"banded/{n}.jpg\nwoven/{n}.jpg\n")


def usps(root: Path) -> None:
    for name in ("usps", "usps.t"):
        values = np.random.default_rng(next(COUNT)).uniform(-1, 1, (20, 256)).round(3)
        rows = (" ".join(f"{i + 1}:{v}" for i, v in enumerate(row)) for row in values)
        put(root / f"{name}.bz2", bz2.compress("".join(f"{n % 10 + 1} {row}\n" for n, row in enumerate(rows)).encode()))


def emnist(root: Path) -> None:
    for edition, first, last in (("balanced", 0, 47), ("letters", 1, 27)):
        for name in ("train", "test"):
            labels = np.arange(first, last, dtype=np.uint8).repeat(2)
            stem = f"EMNIST/raw/emnist-{edition}-{name}"
            put(root / f"{stem}-images-idx3-ubyte", idx(noise(len(labels), 28, 28)))
            put(root / f"{stem}-labels-idx1-ubyte", idx(labels))


def mnist(root: Path) -> None:
    for name in ("train", "t10k"):
        put(root / f"MNIST/raw/{name}-images-idx3-ubyte", idx(noise(20, 28, 28)))
        put(root / f"MNIST/raw/{name}-labels-idx1-ubyte", idx(np.arange(20, dtype=np.uint8) % 10))


def qmnist(root: Path) -> None:
    for name in ("train", "test"):
        labels = np.zeros((20, 8), ">i4")
        labels[:, 0] = np.arange(20) % 10
        put(root / f"QMNIST/raw/qmnist-{name}-images-idx3-ubyte", idx(noise(20, 28, 28)))
        put(root / f"QMNIST/raw/qmnist-{name}-labels-idx2-int", idx(labels, 12))


def fer2013(root: Path) -> None:
    path = put(root / "fer2013/fer2013.csv", "")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("emotion", "pixels", "Usage"))
        for n in range(28):
            usage = ("Training", "Training", "PublicTest", "PrivateTest")[n // 7]
            rows.writerow((n % 7, " ".join(map(str, noise(48 * 48))), usage))


def fer2013_unlabelled(root: Path) -> None:
    """As the competition hands it out: the test pictures have no labels."""
    lines = [f"{n % 7},{' '.join(map(str, noise(48 * 48)))}\n" for n in range(14)]
    put(root / "fer2013/train.csv", "emotion,pixels\n" + "".join(lines))
    put(root / "fer2013/test.csv", "pixels\n" + "".join(line.split(",")[1] for line in lines))


def semeion(root: Path) -> None:
    pixels = (noise(20, 256) > 127).astype(float)
    np.savetxt(root / "semeion.data", np.hstack([pixels, np.eye(10)[np.arange(20) % 10]]), "%.4f")


def pcam(root: Path) -> None:
    import h5py

    (root / "pcam").mkdir()
    for name in ("train", "valid", "test"):
        for what, array in (("x", noise(6, 96, 96, 3)), ("y", (np.arange(6) % 2).reshape(6, 1, 1, 1))):
            with h5py.File(root / f"pcam/camelyonpatch_level_2_split_{name}_{what}.h5", "w") as file:
                file[what] = array


def caltech101(root: Path) -> None:
    names = ("BACKGROUND_Google", "accordion", "zebra")
    classes(root / "caltech101/101_ObjectCategories", names, stem="image_{n:04d}")


def caltech256(root: Path) -> None:
    for number, name in ((1, "ak47"), (2, "zebra")):
        label = f"{number:03d}"
        classes(root / "caltech256/256_ObjectCategories", (f"{label}.{name}",), stem=label + "_{n:04d}")


def aircraft(root: Path) -> None:
    folder = root / "fgvc-aircraft-2013b/data"
    for level, names in (("variant", "707-320\n727-200\n"), ("manufacturer", "Boeing\nAirbus\n")):
        put(folder / f"{level}s.txt", names)
    for part, name in enumerate(("train", "val", "test")):
        for level in ("variant", "manufacturer"):
            labels = (folder / f"{level}s.txt").read_text().split()
            listed = "".join(f"{part}{n} {labels[n % 2]}\n" for n in range(4))
            put(folder / f"images_{level}_{name}.txt", listed)
        for n in range(4):
            photo(folder / "images" / f"{part}{n}.jpg")


def cars(root: Path) -> None:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    places = {"train": folder / "devkit/cars_train_annos.mat", "test": folder / "cars_test_annos_withlabels.mat"}
    for name, path in places.items():
        rows = np.array([(f"{n}.jpg", n % 2 + 1) for n in range(4)], [("fname", "O"), ("class", "O")])
        scipy.io.savemat(path, {"annotations": rows})
        for n in range(4):
            photo(folder / f"cars_{name}" / f"{n}.jpg")
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], object)
    scipy.io.savemat(folder / "devkit/cars_meta.mat", {"class_names": names})


def country211(root: Path) -> None:
    for name in ("train", "valid", "test"):
        classes(root / "country211" / name, ("AD", "ZW"))


def imagenette(root: Path) -> None:
    for folder, name in itertools.product(("imagenette2", "imagenette2-160"), ("train", "val")):
        classes(root / folder / name, ("n01440764", "n03888257"), "JPEG")


def imagenet(root: Path) -> None:
    for name in ("train", "val"):
        classes(root / name, ("n01440764", "n02012849", "n03126707"), "JPEG")
    names = {"n01440764": ("tench", "Tinca tinca"), "n02012849": ("crane",), "n03126707": ("crane",)}
    torch.save((names, []), root / "meta.bin")


def places365(root: Path) -> None:
    put(root / "categories_places365.txt", "/a/airfield 0\n/a/alcove 1\n")
    classes(root / "data_256_standard" / "a", ("airfield", "alcove"))
    listed = "".join(f"/a/{label}/{n}.jpg {i}\n" for i, label in enumerate(("airfield", "alcove")) for n in (1, 2, 3))
    put(root / "places365_train_standard.txt", listed)
    put(root / "places365_val.txt", "".join(f"v{n}.jpg {n % 2}\n" for n in range(4)))
    for n in range(4):
        photo(root / "val_256" / f"v{n}.jpg")


def inaturalist(root: Path) -> None:
    names = [f"{n:05d}_Animalia_Chordata_Aves_{order}_b_c_d" for n, order in enumerate(("Piciformes", "Passeriformes"))]
    for version in ("2021_train_mini", "2021_valid"):
        classes(root / version, names)


def sun397(root: Path) -> None:
    put(root / "SUN397/ClassName.txt", "/a/abbey\n/z/zoo/indoor\n")
    classes(root / "SUN397/a", ("abbey",), stem="sun_{n}")
    classes(root / "SUN397/z/zoo", ("indoor",), stem="sun_{n}")


def rendered_sst2(root: Path) -> None:
    for name in ("train", "valid", "test"):
        classes(root / "rendered-sst2" / name, ("negative", "positive"), "png")


def lfw(root: Path) -> None:
    folder = root / "lfw-py"
    put(folder / "lfw-funneled.tgz", b"")
    put(folder / "people.txt", "2\n1\nAaron_Eckhart\t3\n1\nZico\t3\n")
    put(folder / "lfw-names.txt", "Aaron_Eckhart\t3\nZico\t3\n")
    for name in ("Aaron_Eckhart", "Zico"):
        classes(folder / "lfw_funneled", (name,), stem=name + "_{n:04d}")


def omniglot(root: Path) -> None:
    put(root / "omniglot-py/images_background.zip", b"")
    for character, n in itertools.product(("character01", "character02"), range(3)):
        photo(root / "omniglot-py/images_background/Greek" / character / f"{n}.png", "1")


def clevr(root: Path) -> None:
    for name in ("train", "val"):
        scenes = []
        for n in range(6):
            photo(root / f"clevr/CLEVR_v1.0/images/{name}" / f"{n}.png")
            scenes.append({"image_filename": f"{n}.png", "objects": [{}] * (3 + n % 2 * 7)})
        put(root / f"clevr/CLEVR_v1.0/scenes/CLEVR_{name}_scenes.json", json.dumps({"scenes": scenes}))


def celeba(root: Path) -> None:
    names = [f"{n:06d}.jpg" for n in range(12)]
    for name in names:
        photo(root / "celeba/img_align_celeba" / name)
    rows = {
        "list_attr_celeba.txt": ("12\nBald Smiling\n", lambda n: f"{1 - n % 2 * 2} {n % 3 // 2 * 2 - 1}"),
        "identity_CelebA.txt": ("", lambda n: "1"),
        "list_bbox_celeba.txt": ("12\nx_1 y_1\n", lambda n: "1 1"),
        "list_landmarks_align_celeba.txt": ("12\na b\n", lambda n: "1 1"),
        "list_eval_partition.txt": ("", lambda n: f"{n // 4}"),
    }  # type: dict[str, tuple[str, Callable[[int], str]]]
    for file, (head, row) in rows.items():
        put(root / "celeba" / file, head + "".join(f"{name} {row(n)}\n" for n, name in enumerate(names)))


def eurosat(root: Path) -> None:
    classes(root / "eurosat/2750", ("AnnualCrop", "Forest"))


FILES: dict[str, Callable[[Path], None]] = {
    "MNIST": mnist, "EMNIST": emnist, "QMNIST": qmnist, "USPS": usps, "SEMEION": semeion, "CIFAR10": cifar10,
    "CIFAR100": cifar100, "SVHN": svhn, "STL10": stl10, "FER2013": fer2013, "PCAM": pcam, "EuroSAT": eurosat,
    "GTSRB": gtsrb, "DTD": dtd, "Flowers102": flowers102, "Food101": food101, "OxfordIIITPet": pets,
    "FGVCAircraft": aircraft, "StanfordCars": cars, "Caltech101": caltech101, "Caltech256": caltech256,
    "Country211": country211, "Imagenette": imagenette, "ImageNet": imagenet, "Places365": places365,
    "INaturalist": inaturalist, "SUN397": sun397, "RenderedSST2": rendered_sst2, "LFWPeople": lfw,
    "Omniglot": omniglot, "CLEVRClassification": clevr, "CelebA": celeba,
}  # fmt: skip
"""Name of a dataset -> what writes its files below a root."""
