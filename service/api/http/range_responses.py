"""Files in answers: whole, or the one byte range that was asked for (RFC 9110 section 14)."""

import re
from collections.abc import Callable, Iterator

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

_RANGE = re.compile(r"bytes=([0-9]{0,4000})-([0-9]{0,4000})$")


def send_file(
    request: Request,
    read: Callable[[int, int], Iterator[bytes]],
    *,
    size: int,
    sha256: str,
    filename: str,
    media_type: str = "application/octet-stream",
) -> Response:
    """Answers with bytes `read(start, stop)` gives; the ETag is the content's SHA-256."""
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{_harmless(filename)}"',
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = _asked_range(request, size, etag)
    start, stop = asked or (0, size)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = 206 if asked else 200
    return StreamingResponse(read(start, stop), status_code=status, headers=headers, media_type=media_type)


def _asked_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """[start, stop) of the Range header; None for the whole file. Several ranges at once get the whole file."""
    match = _RANGE.match(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    if start >= stop:
        if last and first and int(last) < int(first):
            return None
        raise HTTPException(416, f"The file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, stop


def _harmless(filename: str) -> str:
    """Without what could end the quoted string or the header."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)
