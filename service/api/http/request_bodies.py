"""Uploads, streamed to disk piece by piece: multipart forms and raw bodies, in bounded memory."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.datasets.uploads import sync
from service.errors import FieldError, InvalidRequestError
from service.store.ids import new_id

PIECE_BYTES = 2**20
IDLE_SECONDS = 60.0
"""A connection that is silent for so long is taken for lost."""
MAX_FIELD_BYTES = 64 * 2**10
MAX_FIELDS = 20


@dataclass
class Form:
    """A multipart form: small fields in memory, its one file on disk."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    file: Path | None = None


async def receive_json(request: Request) -> Any:
    """The JSON body; a fault is told like every other validation error."""
    body = await request.body()
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = {"type": "json_invalid", "loc": ("body",), "msg": str(error), "input": {}, "ctx": {"error": str(error)}}
        raise RequestValidationError([fault]) from error


async def receive_raw(request: Request, folder: Path) -> Path:
    """The body as a file in `folder`; what arrived of one that is too large or cut short is deleted."""
    path = _fresh(folder)
    try:
        with path.open("wb") as file:
            await _pour(request, file.write)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


async def append(request: Request, file: BinaryIO, size: int) -> None:
    """The body at the end of a file that may grow to `size`; what arrives before a break stays, too much is refused."""
    start = file.tell()

    def write(piece: bytes) -> None:
        if file.tell() + len(piece) > size:
            file.truncate(start)
            raise InvalidRequestError(f"more bytes than the {size:,} that the upload was to have; nothing was kept")
        file.write(piece)

    await _pour(request, write)
    await run_in_threadpool(sync, file)


async def receive_form(request: Request, folder: Path) -> Form:
    """The multipart form with its file in `folder`. What arrived of a form that is faulty or cut short is deleted."""
    boundary = parse_options_header(request.headers.get("content-type", ""))[1].get(b"boundary")
    if not boundary:
        raise InvalidRequestError("the multipart body names no boundary")
    reader = _FormReader(folder)
    parser = MultipartParser(boundary, reader.callbacks())
    try:
        await _pour(request, parser.write)
        parser.finalize()
    except MultipartParseError as error:
        reader.discard()
        raise InvalidRequestError(f"the multipart body is broken: {error}") from error
    except BaseException:
        reader.discard()
        raise
    reader.close()
    return reader.form


async def _pour(request: Request, write: Callable[[bytes], object]) -> None:
    """Hands the body on in pieces of about 1 MiB, each written in a worker thread; 408 when it falls silent."""
    piece, clock = bytearray(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(IDLE_SECONDS) as patience:
            async for chunk in request.stream():
                piece += chunk
                if len(piece) >= PIECE_BYTES:
                    await run_in_threadpool(write, bytes(piece))
                    piece.clear()
                patience.reschedule(clock() + IDLE_SECONDS)
    except TimeoutError as error:
        raise HTTPException(408, f"Nothing has arrived for {IDLE_SECONDS:g} seconds") from error
    await run_in_threadpool(write, bytes(piece))


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{new_id()}.part"


class _FormReader:
    """Takes the parser's calls: which part begins, its headers, its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.form = Form()
        self._header = [b"", b""]
        self._name = ""
        self._value = bytearray()
        self._file: BinaryIO | None = None

    def callbacks(self) -> Any:
        """In the shape that the parser wants."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._end,
        }

    def close(self) -> None:
        """Closes a file whose part never ended."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Deletes what arrived."""
        self.close()
        if self.form.file is not None:
            self.form.file.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._header, self._name, self._value = [b"", b""], "", bytearray()

    def _add_header(self, part: int, data: bytes) -> None:
        self._header[part] += data
        if len(self._header[part]) > MAX_FIELD_BYTES:
            raise InvalidRequestError("a header of a multipart part is too long")

    def _end_header(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        options = parse_options_header(value)[1]
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self._open(options[b"filename"].decode("utf-8", "replace"))

    def _open(self, filename: str) -> None:
        if self.form.file is not None:
            raise _form_fault("/file", "send one file only")
        if self._name != "file":
            raise _form_fault("/file", f"the file's field is called `file`, not `{self._name}`")
        self.form.filename, self.form.file = filename, _fresh(self.folder)
        self._file = self.form.file.open("wb")

    def _data(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            return
        self._value += data
        if len(self._value) > MAX_FIELD_BYTES or len(self.form.fields) > MAX_FIELDS:
            raise _form_fault(f"/{self._name}", "too long")

    def _end(self) -> None:
        if self._file is not None:
            self.close()
        else:
            self.form.fields[self._name] = self._value.decode("utf-8", "replace")


def _form_fault(pointer: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"{pointer}: {detail}", [FieldError(pointer=pointer, detail=detail)])
