"""Bodies of requests: JSON at once, files streamed to the disk piece by piece, in bounded memory."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.api.http.strict_route import once_each
from service.datasets.uploads import PartFile
from service.errors import FieldError, InvalidRequestError

PIECE_BYTES = 2**20
IDLE_SECONDS = 60.0
"""A connection that is silent for so long is taken for lost."""
MAX_FIELD_BYTES = 64 * 2**10
MAX_FIELDS = 20


@dataclass
class Form:
    """The fields of a multipart form, and the name of its one file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


async def receive_json(request: Request) -> Any:
    """The JSON body; a fault is told like every other validation error."""
    body = await request.body()
    try:
        return json.loads(body, object_pairs_hook=once_each)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = {"type": "json_invalid", "loc": ("body",), "msg": str(error), "input": {}, "ctx": {"error": str(error)}}
        raise RequestValidationError([fault]) from error


async def receive_file(request: Request, part: PartFile) -> None:
    """Appends the body to the file; what has arrived is on the disk in the end."""
    await _stream(request, part.write)
    await run_in_threadpool(part.sync)


async def receive_form(request: Request, part: PartFile) -> Form:
    """The multipart form, whose file is appended to `part`, and is on the disk in the end."""
    boundary = parse_options_header(request.headers.get("content-type", ""))[1].get(b"boundary")
    if not boundary:
        raise InvalidRequestError("the multipart body names no boundary")
    reader = _FormReader(part)
    parser = MultipartParser(boundary, reader.callbacks())
    try:
        await _stream(request, parser.write)
        parser.finalize()
    except MultipartParseError as error:
        raise InvalidRequestError(f"the multipart body is broken: {error}") from error
    await run_in_threadpool(part.sync)
    return reader.form


async def _stream(request: Request, write: Callable[[bytes], object]) -> None:
    """Hands the body on in pieces of about 1 MiB, each written in a worker thread; 408 when it falls silent."""
    piece, clock = bytearray(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(IDLE_SECONDS) as idle:
            async for chunk in request.stream():
                piece += chunk
                if len(piece) >= PIECE_BYTES:
                    await run_in_threadpool(write, bytes(piece))
                    piece.clear()
                idle.reschedule(clock() + IDLE_SECONDS)
    except TimeoutError as error:
        raise HTTPException(408, f"Nothing has arrived for {IDLE_SECONDS:g} seconds") from error
    await run_in_threadpool(write, bytes(piece))


class _FormReader:
    """Takes the parser's calls: which part begins, its headers, its data."""

    def __init__(self, file: PartFile) -> None:
        self.form = Form()
        self._file = file
        self._header = [b"", b""]
        self._name = ""
        self._value = bytearray()
        self._is_file = False

    def callbacks(self) -> Any:
        """In the shape that the parser takes."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._add_data(data[start:end]),
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._header, self._name, self._value, self._is_file = [b"", b""], "", bytearray(), False

    def _add_header(self, half: int, data: bytes) -> None:
        self._header[half] += data
        if len(self._header[half]) > MAX_FIELD_BYTES:
            raise InvalidRequestError("a header of a multipart part is too long")

    def _end_header(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        options = parse_options_header(value)[1]
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self._begin_file(options[b"filename"].decode("utf-8", "replace"))

    def _begin_file(self, filename: str) -> None:
        if self.form.filename is not None:
            raise _form_fault("/file", "send one file only")
        if self._name != "file":
            raise _form_fault("/file", f"the file's field is called `file`, not `{self._name}`")
        self.form.filename, self._is_file = filename, True

    def _add_data(self, data: bytes) -> None:
        if self._is_file:
            self._file.write(data)
            return
        self._value += data
        if len(self._value) > MAX_FIELD_BYTES or len(self.form.fields) > MAX_FIELDS:
            raise _form_fault(f"/{self._name}", "too long")

    def _end(self) -> None:
        if not self._is_file:
            self.form.fields[self._name] = self._value.decode("utf-8", "replace")


def _form_fault(pointer: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"{pointer}: {detail}", [FieldError(pointer=pointer, detail=detail)])
