"""Answers that endpoints make themselves, and how the contract describes them."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import Response

from service import plots

Report = TypeVar("Report", bound=BaseModel)
MAX_ANSWER_BYTES = 16 * 2**20
"""Of a list whose length the client chooses: longer ones come in more pages than were asked for."""
SECURITY_HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Swagger UI sets styles inline; no script is ever inline.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
}


def answer(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None, then: BackgroundTask | None = None
) -> Response:
    """A report as a response with this status, for endpoints that answer in more than one way."""
    return Response(
        model.model_dump_json(), status_code=status, media_type="application/json", headers=headers, background=then
    )


def within_bounds(texts: Iterable[str]) -> list[str]:
    """The first of these texts, at least one, that together are no larger than an answer may be."""
    kept: list[str] = []
    size = 0
    for text in texts:
        size += len(text.encode())
        if kept and size > MAX_ANSWER_BYTES:
            break
        kept.append(text)
    return kept


def page_answer(reports: Sequence[Report], cursor_of: Callable[[Report], str], following: str | None) -> Response:
    """A page of reports as a response; where it would be too large it ends before, and the cursor leads to the rest."""
    texts = within_bounds(report.model_dump_json() for report in reports)
    cursor = json.dumps(cursor_of(reports[len(texts) - 1]) if len(texts) < len(reports) else following)
    return Response(f'{{"data":[{",".join(texts)}],"next_cursor":{cursor}}}', media_type="application/json")


def picture(content: bytes, image_format: plots.ImageFormat) -> Response:
    """A picture as a response."""
    return Response(content, media_type=plots.MEDIA_TYPES[image_format], headers={"Cache-Control": "no-cache"})


def csv_table(rows: Iterable[Sequence[object]]) -> Response:
    """Rows, the first of which names the columns, as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return Response(buffer.getvalue(), media_type="text/csv; charset=utf-8")


def also(status: int, description: str, model: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """One more response for the contract."""
    return {status: {"description": description} | ({"model": model} if model else {})}


def pictured(others: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The answer of an endpoint that draws, for the contract."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": {"image/svg+xml": binary, "image/png": binary, **(others or {})}}}
