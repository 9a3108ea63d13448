"""IDX files: gzipped or not, and refused when they are not what they say."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.arrays.idx_files import idx, write
from worker.importing.arrays.idx import load_idx, read_idx


@pytest.mark.parametrize("compress", [False, True])
def test_plain_and_gzipped_files_read_the_same(tmp_path: Path, compress: bool) -> None:
    raw = load_idx(write(tmp_path, compress))
    assert raw.x.shape == (40, 4, 4, 1)
    assert raw.x[3].ravel().tolist() == list(range(48, 64))
    assert raw.y[:4].tolist() == [0, 1, 2, 0]
    assert raw.split is not None
    assert raw.split.tolist() == [0] * 20 + [2] * 20


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\x08", b"\0\0\x08\x03", b"\0\0\x08\x03\0\0", b"\0\0\x08\x03\0\0\0\x05\0\0",
     b"not an idx file at all", idx(np.zeros((3, 4, 4)))[:-1], idx(np.zeros((3, 4, 4))) + b"x",
     b"\0\0\x08\x03" + b"\xff" * 12, b"\0\0\x0d\x03" + b"\0" * 12],
)  # fmt: skip
def test_malformed_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(ImportRefusedError) as caught:
        read_idx(path, 3)
    assert caught.value.reason == "idx-malformed"


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(1000)))[:-12])
    with pytest.raises(ImportRefusedError, match="cannot be read"):
        read_idx(path, 1)


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ImportRefusedError, match="t10k images or labels are missing"):
        load_idx(tmp_path)


def test_other_number_of_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(19)))
    with pytest.raises(ImportRefusedError, match="20 train images but 19 labels"):
        load_idx(tmp_path)


@pytest.mark.parametrize("shape", [(0, 4, 4), (20, 0, 4), (20, 5, 4)])
def test_images_without_pixels_or_of_two_sizes_are_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    write(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros(shape)))
    with pytest.raises(ImportRefusedError, match="differ in size" if shape[1] == 5 else "holds no pixels"):
        load_idx(tmp_path)
