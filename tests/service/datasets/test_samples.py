"""Single samples: read by their place in the packed arrays, with class and split."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.datasets import imports
from service.datasets.samples import png, read_row, sample
from service.errors import NotFoundError, NotReadyError
from service.specs.dataset import BuiltinSource
from service.store.session import Store
from tests.service.simulated_worker import SimulatedWorker


def row(array: NDArray[np.generic], number: int) -> NDArray[np.generic]:
    """A row of the array's file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    return read_row(lambda start, stop: iter([data[start:stop]]), number)


def test_a_row_is_read_without_the_others() -> None:
    rows = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    assert row(rows, 3).tolist() == rows[3].tolist()
    assert row(np.arange(9, dtype=np.int64), 7).tolist() == 7
    with pytest.raises(NotFoundError, match="5 samples, numbered from 0"):
        row(rows, 5)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB")])
def test_a_packed_image_is_shown_as_png(channels: int, mode: str) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (6, 7, channels), np.uint8)
    shown = Image.open(io.BytesIO(png(image_HWC)))
    assert shown.mode == mode
    assert np.array_equal(np.asarray(shown), image_HWC if channels == 3 else image_HWC[:, :, 0])


def test_a_sample_has_its_picture_class_and_split(store: Store) -> None:
    SimulatedWorker(store).dataset()
    shown = sample(store, "digits", 13)
    assert (shown.label, shown.split) == ("3", "val")
    picture = np.asarray(Image.open(io.BytesIO(shown.png)))
    assert picture.ravel().tolist() == np.arange(13 * 64, 14 * 64).astype(np.uint8).tolist()


def test_a_dataset_that_is_not_imported_has_no_samples(store: Store) -> None:
    with store.begin() as session:
        imports.create(session, "digits", BuiltinSource(kind="builtin"))
    with pytest.raises(NotReadyError, match="`digits` is importing"):
        sample(store, "digits", 0)
