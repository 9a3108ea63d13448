"""API keys as their administrator sees them."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.reports.part import ReportPart
from service.specs.part import Part


class KeyRequest(Part):
    """The body of `POST /v1/keys`."""

    name: str = Field(min_length=1, max_length=200)
    scope: Literal["read", "train", "admin"] = "train"


class KeyReport(ReportPart):
    """A key without its secret."""

    id: str
    name: str
    scope: Literal["read", "train", "admin"]
    created_at: datetime
    revoked_at: datetime | None


class NewKeyReport(KeyReport):
    """A key that was just made; `key` is shown this once."""

    key: str
