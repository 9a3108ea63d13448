"""Weights files without torch: the header of safetensors, and zeros."""

import json
from collections.abc import Mapping, Sequence
from math import prod

# The backbone of torchvision's squeezenet1_1.
_FIRES = (
    *((3, 64, 16, 64), (4, 128, 16, 64), (6, 128, 32, 128), (7, 256, 32, 128)),
    *((9, 256, 48, 192), (10, 384, 48, 192), (11, 384, 64, 256), (12, 512, 64, 256)),
)


def squeezenet(wrapper: str = "") -> dict[str, list[int]]:
    """Names and shapes of squeezenet1_1 with a head for ten classes."""
    layers = {"features.0": [64, 3, 3, 3], "classifier.1": [10, 512, 1, 1]}
    for number, inputs, squeezed, expanded in _FIRES:
        layers[f"features.{number}.squeeze"] = [squeezed, inputs, 1, 1]
        layers[f"features.{number}.expand1x1"] = [expanded, squeezed, 1, 1]
        layers[f"features.{number}.expand3x3"] = [expanded, squeezed, 3, 3]
    weights = {f"{wrapper}{name}.weight": shape for name, shape in layers.items()}
    return weights | {f"{wrapper}{name}.bias": shape[:1] for name, shape in layers.items()}


def safetensors(shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file of these tensors, all zero."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)
