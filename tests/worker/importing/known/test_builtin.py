"""Known datasets without torchvision: MNIST's family is found under the data roots."""

from pathlib import Path

import numpy as np

from tests.worker.importing.arrays.idx_files import write
from worker.importing.arrays.idx import read_idx
from worker.importing.known.builtin import find_idx_folder

DEBIAN = Path("/usr/share/datasets")


def test_debian_fashion_mnist_is_found() -> None:
    folder = find_idx_folder("FashionMNIST", [DEBIAN])
    assert folder == DEBIAN / "fashion-mnist"
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1)
    assert np.bincount(labels).tolist() == [1000] * 10


def test_torchvision_layout_and_the_root_itself_are_found(tmp_path: Path) -> None:
    write(tmp_path / "a" / "MNIST" / "raw")
    write(tmp_path / "b", compress=True)
    assert find_idx_folder("MNIST", [tmp_path / "a"]) == tmp_path / "a" / "MNIST" / "raw"
    assert find_idx_folder("MNIST", [tmp_path / "b"]) == tmp_path / "b"
    assert find_idx_folder("MNIST", [tmp_path]) is None
