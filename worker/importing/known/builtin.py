"""`digits`: 1,797 real 8x8 grey images of handwritten digits that ship with scikit-learn."""

import numpy as np

from worker.importing.raw_data import RawData


def load_digits() -> RawData:
    """The images scaled from 0-16 to 0-255."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    images_NHW = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return RawData(x=images_NHW[..., None], y=bunch.target.astype(np.int64), classes=[str(n) for n in range(10)])
