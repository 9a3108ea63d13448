"""Lists: a page of items and the cursor that goes on."""

from typing import Generic, TypeVar

from service.reports.part import ReportPart

Item = TypeVar("Item")


class Page(ReportPart, Generic[Item]):
    """Part of a list; `next_cursor` is opaque, and null at the end."""

    data: list[Item]
    next_cursor: str | None = None
