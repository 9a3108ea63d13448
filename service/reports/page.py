"""Lists: a page of items and the cursor that goes on."""

from typing import Generic, TypeVar

from service.reports.part import ReportPart

Item = TypeVar("Item")
CURSOR = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""What a `next_cursor` looks like."""


class Page(ReportPart, Generic[Item]):
    """Part of a list; `next_cursor` is opaque, and null at the end."""

    data: list[Item]
    next_cursor: str | None = None
