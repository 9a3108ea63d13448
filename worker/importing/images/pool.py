"""Pictures to packed rows: decoder processes with a memory limit each, and a time limit for each picture."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

DECODER = Path(__file__).with_name("decoder.py")
MEMORY_BYTES = 640 * 2**20
LARGE_MEMORY_BYTES = 1280 * 2**20
MAX_PIXELS = 50 * 10**6
"""Pictures with more pixels are decoded one at a time, beside the others, with more memory."""
LARGE_MAX_PIXELS = 200 * 10**6
LARGE_PATIENCE = 5
"""They may take so many times as long."""
SECONDS = 60.0
"""For one picture."""
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""glibc's malloc would hand the pixels of each picture back to the kernel, and have them cleared for the next."""
IN_FLIGHT = 4
"""Tasks that a decoder holds, so that it never waits for the next."""
LONG_BYTES = 10**5
"""Larger files come first, the largest at first: else one of them may be left over while all other cores idle."""


class Decoded(BaseModel):
    """What a decoder found out about a picture that it could read."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: tuple[int, int]
    """Width and height of the original, the right way up."""
    mode: str
    format: str
    frames: int
    turned: bool
    """Whether EXIF data asked for a turn."""
    file: str = ""
    """SHA-256 of the picture's bytes."""
    row: str = ""
    """SHA-256 of the packed pixels."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A picture that cannot be used, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Large:
    reason: str


Outcome = Decoded | Faulty


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture's bytes lie: a part of a file, as it is or deflated; a length of -1 is the whole file."""

    name: str
    label: str
    split: int | None
    path: str
    start: int = 0
    length: int = -1
    method: int = 0
    size: int = -1
    crc: int | None = None

    def task(self, row: int) -> list[Any]:
        """As the decoder wants it."""
        return [row, self.path, self.start, self.length, self.method, self.size, self.crc]


@dataclass(frozen=True)
class Plan:
    """How every picture is packed, and where."""

    height: int
    width: int
    channels: int
    x: Path
    offset: int
    thumbs: Path
    thumbs_offset: int = 0
    probe: bool = False
    """Only look at the headers; nothing is packed."""
    seconds: float = SECONDS

    def message(self, max_pixels: int | None) -> dict[str, Any]:
        """As the decoder wants it."""
        fields = {name: value for name, value in vars(self).items() if name != "seconds"}
        return fields | {
            "x": str(self.x),
            "thumbs": str(self.thumbs),
            "max_pixels": max_pixels,
            "alone": max_pixels is None,
            "limit": LARGE_MAX_PIXELS,
        }


@dataclass
class _Lane:
    """Processes with the same limits, and what waits for them."""

    memory_bytes: int
    processes: int
    decoders: "list[Decoder]" = field(default_factory=list)
    waiting: deque[int] = field(default_factory=deque)
    head: bytes = b""
    """The plan, as they are told it."""
    seconds: float = SECONDS

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting) or any(decoder.pending for decoder in self.decoders)


@dataclass
class Decoder:
    """One process, what it was asked and has not answered."""

    process: subprocess.Popen[bytes]
    lane: _Lane
    pending: deque[int] = field(default_factory=deque)
    buffer: bytes = b""
    since: float = 0.0


Answer = tuple[_Lane, int, Outcome | _Large]


class Decoders:
    """A decoder process on each core, for several passes over pictures; one that dies or hangs costs its picture."""

    def __init__(self, processes: int | None = None) -> None:
        self._usual = _Lane(MEMORY_BYTES, processes or len(os.sched_getaffinity(0)))
        self._large = _Lane(LARGE_MEMORY_BYTES, 1)
        self._selector = selectors.DefaultSelector()
        self._pictures: Sequence[Picture] = ()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        for lane in (self._usual, self._large):
            self._close(lane)
        self._selector.close()

    def decode(self, pictures: Sequence[Picture], plan: Plan) -> Iterator[tuple[int, Outcome] | None]:
        """What became of each picture, as they are done; None now and then while it takes long.

        Nothing that a picture holds raises here.
        """
        self._pictures = pictures
        order = sorted(range(len(pictures)), key=lambda index: -_long(pictures[index]))
        self._begin(self._usual, order, plan.message(MAX_PIXELS), plan.seconds)
        self._begin(self._large, (), plan.message(None), LARGE_PATIENCE * plan.seconds)
        while self._usual.is_busy or self._large.is_busy:
            self._feed(self._usual)
            self._feed(self._large)
            for lane, index, outcome in self._answers():
                if not isinstance(outcome, _Large):
                    yield index, outcome
                elif lane is self._usual:
                    self._large.waiting.append(index)
                else:  # only a decoder that went astray says so again
                    yield index, Faulty(outcome.reason)
            yield None
        self._close(self._large)

    def _begin(self, lane: _Lane, order: Iterable[int], message: dict[str, Any], seconds: float) -> None:
        lane.waiting, lane.head, lane.seconds = deque(order), json.dumps(message).encode() + b"\n", seconds
        for decoder in lane.decoders:
            self._send(decoder, lane.head)

    def _feed(self, lane: _Lane) -> None:
        while len(lane.decoders) < min(lane.processes, -(-len(lane.waiting) // IN_FLIGHT)):
            self._start(lane)
        for decoder in lane.decoders:
            while lane.waiting and len(decoder.pending) < IN_FLIGHT:
                self._ask(decoder, lane.waiting.popleft())

    def _start(self, lane: _Lane) -> Decoder:
        process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER), str(lane.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | KEEPS_MEMORY,
        )
        decoder = Decoder(process, lane)
        self._send(decoder, lane.head)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, decoder)
        lane.decoders.append(decoder)
        return decoder

    def _answers(self) -> Iterator[Answer]:
        for key, _ in self._selector.select(timeout=1.0):
            decoder: Decoder = key.data
            piece = os.read(key.fd, 2**16)
            if not piece:
                yield from self._bury(decoder, None)
                continue
            *lines, decoder.buffer = (decoder.buffer + piece).split(b"\n")
            decoder.since = time.monotonic()
            for line in lines[: len(decoder.pending)]:
                yield decoder.lane, decoder.pending.popleft(), _parse(line)
        for decoder in (*self._usual.decoders, *self._large.decoders):
            seconds = decoder.lane.seconds
            if decoder.pending and time.monotonic() - decoder.since > seconds:
                yield from self._bury(decoder, f"decoding it takes longer than {seconds:g} s")

    def _ask(self, decoder: Decoder, index: int) -> None:
        if not decoder.pending:
            decoder.since = time.monotonic()
        decoder.pending.append(index)
        self._send(decoder, json.dumps(self._pictures[index].task(index)).encode() + b"\n")

    def _send(self, decoder: Decoder, line: bytes) -> None:
        assert decoder.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is seen where its answers are read
            decoder.process.stdin.write(line)
            decoder.process.stdin.flush()

    def _bury(self, decoder: Decoder, reason: str | None) -> Iterator[Answer]:
        """Ends a decoder that is dead or has to be; the picture it was at is refused, the others get another one."""
        decoder.lane.decoders.remove(decoder)
        code = self._end(decoder)
        if not decoder.pending:
            return
        yield decoder.lane, decoder.pending.popleft(), Faulty(reason or _death(code))
        if decoder.pending:
            successor = self._start(decoder.lane)
            for index in decoder.pending:
                self._ask(successor, index)

    def _close(self, lane: _Lane) -> None:
        for decoder in lane.decoders:
            self._end(decoder)
        lane.decoders.clear()

    def _end(self, decoder: Decoder) -> int:
        process = decoder.process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(KeyError):
            self._selector.unregister(process.stdout)
        if decoder.pending and process.poll() is None:
            process.kill()
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        return process.returncode


def _long(picture: Picture) -> int:
    """The file's size if it is large, else 0; a file that cannot be seen now is found out by its decoder."""
    size = picture.size
    if size < 0:
        with suppress(OSError):
            size = Path(picture.path).stat().st_size
    return size if size > LONG_BYTES else 0


def _parse(line: bytes) -> Outcome | _Large:
    try:
        answer = json.loads(line)
        if "large" in answer:
            return _Large(str(answer["large"]))
        return Faulty(str(answer["error"])) if "error" in answer else Decoded.model_validate_json(line)
    except (ValueError, TypeError, ValidationError):
        return Faulty("its decoder went astray")


def _death(code: int) -> str:
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"exit code {code}"
    return f"its decoder died ({name})"
