"""Makes `spec.json` and `checkpoint.pt` beside this file with the code of an earlier commit, 58c9368^ for these two.

In a checkout of that commit: `PYTHONPATH=. python <path of this file>`.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import StopAt, last_state, spec_of, train

HERE = Path(__file__).parent
STEPS = 5
SPEC = {
    "epochs": 2,
    "batch_size": 64,
    "model": {"family": "mlp", "hidden": [16], "dropout": 0.2},
    "augment": [{"op": "crop", "padding": 1}],
    "schedule": {"name": "cosine", "warmup": 0.1},
    "ema": {"decay": 0.9},
    "gradients": {"every": 2},
    "precision": "fp32",
}


def main() -> None:
    """A training of the first 400 digits that is stopped after a few steps."""
    folder, spec = Path(tempfile.mkdtemp()), spec_of(**SPEC)
    x, y = load_digits(return_X_y=True)
    images = (x[:400].reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)
    split = np.repeat(np.array([0, 1, 2], np.uint8), [300, 50, 50])
    events = train(pack(folder / "digits", images, y[:400], split), folder / "run", spec, stop=StopAt(STEPS))
    shutil.copyfile(last_state(events).path, HERE / "checkpoint.pt")
    (HERE / "spec.json").write_text(spec.model_dump_json() + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
