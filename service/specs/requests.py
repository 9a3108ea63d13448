"""Small bodies of requests: changes of a stored job, a clone of one, a new API key."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.specs.part import Part
from service.specs.training import Label


class JobChanges(Part):
    """The body of `PATCH /v1/jobs/{id}`: what is left out stays."""

    name: str | None = Field(default=None, max_length=200)
    labels: dict[Label, Annotated[str, Field(max_length=200)]] = Field(default={}, max_length=50)
    priority: int = Field(default=0, ge=-100, le=100)


class CloneRequest(Part):
    """The body of `POST /v1/jobs/{id}/clone`."""

    patch: dict[str, Any] = Field(default={}, max_length=100)
    """Dotted path into the spec -> new value, e.g. `{"optimizer.lr": 0.001}`."""


class KeyRequest(Part):
    """The body of `POST /v1/keys`."""

    name: str = Field(min_length=1, max_length=200)
    scope: Literal["read", "train", "admin"] = "train"
