"""Small bodies of requests: changes of a stored job, a clone of one, a new API key."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.specs.dataset import DatasetName
from service.specs.part import Name, Part, at_most
from service.specs.training import JobMetadata, LimitsSpec
from service.states import Actor

KeyScope = Literal["read", "train", "admin"]
"""What a key allows: each scope what the ones before it do, and more."""


class WeightsFields(Part):
    """The fields of the form of `POST /v1/weights`, beside the file."""

    name: DatasetName
    """What specs call the weights."""


class JobChanges(JobMetadata):
    """The body of `PATCH /v1/jobs/{id}`: what is left out stays."""


class ResumeRequest(Part):
    """The body of `POST /v1/jobs/{id}/resume`."""

    limits: LimitsSpec | None = None
    """Limits that hold from now on; those that are left out stay, and so does the stored spec."""


class CloneRequest(Part):
    """The body of `POST /v1/jobs/{id}/clone`."""

    patch: Annotated[dict[Name, Any], at_most(100)] = Field(default={}, max_length=100)
    """Dotted path into the spec -> new value, e.g. `{"optimizer.lr": 0.001}`."""


def _is_clear(name: str) -> str:
    """Whose key it is, and who acted, must be clear where keys are named by name or id."""
    if name in set(Actor):
        raise ValueError(f"`{name}` is not a key's name: events call another actor so")
    if re.fullmatch("[0-9a-f]{8}", name):
        raise ValueError("a name may not look like the id of a key")
    return name


KeyName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_clear)]


class SessionRequest(Part):
    """The body of `POST /v1/sessions`."""

    key: str = Field(min_length=1, max_length=500, repr=False)
    """The API key that the session stands for."""


class KeyRequest(Part):
    """The body of `POST /v1/keys`."""

    name: KeyName
    scope: KeyScope = "train"
