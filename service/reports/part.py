"""What every report shares: frozen, and in JSON a number that is not finite is null. And pages of reports."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from service.docstrings import describe_fields

Item = TypeVar("Item")
CURSOR = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""What a `next_cursor` looks like."""


class ReportPart(BaseModel):
    """A frozen piece of a response."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, ser_json_inf_nan="null")


class Page(ReportPart, Generic[Item]):
    """Part of a list; `next_cursor` is opaque, and null at the end."""

    data: list[Item]
    next_cursor: str | None = None
