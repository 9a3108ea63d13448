"""torchvision, importable beside any build of torch: `from worker.engine.runtime.torchvision_shim import torchvision`.

torchvision's wheel carries an extension that is linked against CUDA; beside a CPU build of torch it cannot load, and
`import torchvision` then fails because it registers shapes for two operators that are not defined. Their schemas are
defined here first, in that case only; models, transforms and datasets work without the extension (decoding with
`torchvision.io` does not: Pillow decodes).
"""

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

SCHEMAS: tuple[tuple[str, str], ...] = (
    ("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
)
DOWNLOAD_TIMEOUT_SECONDS = 30.0


def extension_loads() -> bool:
    """Whether torchvision's compiled operators can be loaded into this process (and loads them)."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    extensions = [folder / f"_C{suffix}" for suffix in EXTENSION_SUFFIXES if (folder / f"_C{suffix}").is_file()]
    try:
        for path in extensions[:1]:
            torch.ops.load_library(path)
    except OSError:
        return False
    return bool(extensions)


def define_missing_operators() -> None:
    """Defines a schema for each operator that torchvision's Python code refers to, unless it exists."""
    for name, schema in SCHEMAS:
        namespace, operator = name.split("::")
        if not hasattr(getattr(torch.ops, namespace), operator):
            torch.library.define(name, schema)


@contextmanager
def download_timeout() -> Iterator[None]:
    """Makes downloads give up on a server that sends nothing; urllib alone would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


if not extension_loads():
    define_missing_operators()

import torchvision  # noqa: E402  (the operators must be there first)

__all__ = ["define_missing_operators", "download_timeout", "extension_loads", "torchvision"]
