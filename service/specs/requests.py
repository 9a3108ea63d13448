"""Small bodies of requests: changes of a stored job, a clone of one, a new API key."""

from typing import Any, Literal

from pydantic import Field

from service.specs.part import Part
from service.specs.training import JobMetadata

KeyScope = Literal["read", "train", "admin"]
"""What a key allows: each scope what the ones before it do, and more."""


class JobChanges(JobMetadata):
    """The body of `PATCH /v1/jobs/{id}`: what is left out stays."""


class CloneRequest(Part):
    """The body of `POST /v1/jobs/{id}/clone`."""

    patch: dict[str, Any] = Field(default={}, max_length=100)
    """Dotted path into the spec -> new value, e.g. `{"optimizer.lr": 0.001}`."""


class KeyRequest(Part):
    """The body of `POST /v1/keys`."""

    name: str = Field(min_length=1, max_length=200)
    scope: KeyScope = "train"
