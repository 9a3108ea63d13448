"""Numbers: features and pictures that are constant, copies, tell too much or show too little are named."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.checks.profiles import arrays, evidence, severe
from tests.worker.importing.imports import import_path, two_classes, write_folder


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


def test_blank_and_long_pictures_are_listed(tmp_path: Path) -> None:
    files = two_classes(20)
    files |= {"cats/black.png": encoded(Image.new("RGB", (40, 40))),
              "dogs/white.png": encoded(Image.new("RGB", (40, 40), "white")),
              "dogs/long.png": encoded(picture(70, (400, 40)))}  # fmt: skip
    imported = import_path(write_folder(tmp_path / "tree", files))
    assert evidence(imported, "blank_pictures")["examples"] == ["cats/black.png", "dogs/white.png"]
    assert evidence(imported, "odd_aspect")["examples"] == ["400x40"]
    assert imported.profile.sizes == {"40x40": 22, "400x40": 1}
