"""What a weights file is, by its first bytes and the JSON header of safetensors; torch is not needed.

The format: 8 bytes with the header's length (little-endian), the header, the numbers
(https://huggingface.co/docs/safetensors).
"""

import json
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.catalog import architectures, fingerprints
from service.errors import FieldError, InvalidRequestError
from service.reports.weights import WeightsProfile

MAX_HEADER_BYTES = 16 * 2**20
"""The largest of torchvision's networks has a header of 0.2 MB."""
STATE_DICT_BEGINS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x80\x05")
"""What `torch.save` writes: a zip, or a pickle."""


class _Entry(BaseModel):
    """One tensor of the header."""

    model_config = ConfigDict(strict=True)

    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=16)]
    data_offsets: Annotated[list[int], Field(min_length=2, max_length=2)]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def profile(path: Path) -> WeightsProfile:
    """The file's profile; InvalidRequestError when it is no weights file, or not a whole one."""
    with path.open("rb") as file:
        start = file.read(9)
        if start.startswith(STATE_DICT_BEGINS):
            return WeightsProfile(format="state-dict")
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > MAX_HEADER_BYTES:
            raise _unfit("this is no weights file: send safetensors, or a state dict as `torch.save` writes it")
        header = start[8:] + file.read(length - 1)
    try:
        read = json.loads(header)
        metadata = read.pop("__metadata__", None)
        tensors = _ENTRIES.validate_python(read)
    except (ValueError, RecursionError, ValidationError) as error:
        raise _unfit("the header of this safetensors file cannot be read") from error
    end = 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    if not tensors or end != path.stat().st_size:
        raise _unfit("this safetensors file is not whole, or holds no tensors")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return WeightsProfile(
        format="safetensors",
        arch=_named_architecture(metadata),
        tensors=len(shapes),
        parameters=sum(prod(shape) for shape in shapes.values()),
        fits=fingerprints.fitting(shapes),
    )


def _named_architecture(metadata: Any) -> str | None:
    """What one of the service's own model files says about itself."""
    try:
        model = json.loads(metadata["model"])
        name = model.get("arch") or model["family"]
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
    is_known = name in ("mlp", "cnn") or (isinstance(name, str) and architectures.architecture(name))
    return name if is_known else None


def _unfit(detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [FieldError(pointer="/file", detail=detail)])
