"""Pictures to packed rows: decoder processes with a memory limit each, and a time limit for each picture."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

DECODER = Path(__file__).with_name("decoder.py")
MEMORY_BYTES = 640 * 2**20
LARGE_MEMORY_BYTES = 1280 * 2**20
MAX_PIXELS = 50 * 10**6
"""Pictures with more pixels wait and are decoded one at a time."""
LARGE_MAX_PIXELS = 200 * 10**6
LARGE_PATIENCE = 5
"""They may take so many times as long."""
SECONDS = 60.0
"""For one picture."""
IN_FLIGHT = 4
"""Tasks that a decoder holds, so that it never waits for the next."""


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
class Decoder:
    """One process, what it was asked and has not answered."""

    process: subprocess.Popen[bytes]
    pending: deque[int] = field(default_factory=deque)
    buffer: bytes = b""
    since: float = 0.0


class Decoders:
    """A decoder process on each core, for several passes over pictures."""

    def __init__(self, processes: int | None = None) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool = _Pool(MEMORY_BYTES)

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def decode(self, pictures: Sequence[Picture], plan: Plan) -> Iterator[tuple[int, Outcome] | None]:
        """What became of each picture, as they are done; None now and then while it takes long.

        Nothing that a picture holds raises here. Large ones come last, one at a time.
        """
        large: list[int] = []
        for done in self._pool.run(pictures, range(len(pictures)), plan, self.processes, MAX_PIXELS):
            if done is None or not isinstance(done[1], _Large):
                yield _settled(done)
            else:
                large.append(done[0])
        pool = _Pool(LARGE_MEMORY_BYTES)
        try:
            patient = replace(plan, seconds=LARGE_PATIENCE * plan.seconds)
            yield from map(_settled, pool.run(pictures, large, patient, 1, None))
        finally:
            pool.close()


Answer = tuple[int, Outcome | _Large]


class _Pool:
    """Decoders with the same memory limit; one that dies or hangs costs its picture and is replaced."""

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.decoders: list[Decoder] = []
        self.selector = selectors.DefaultSelector()
        self.pictures: Sequence[Picture] = ()
        self.head, self.seconds = b"", SECONDS

    def run(
        self, pictures: Sequence[Picture], wanted: Sequence[int], plan: Plan, processes: int, max_pixels: int | None
    ) -> Iterator[Answer | None]:
        """One pass."""
        waiting = deque(wanted)
        self.pictures, self.seconds = pictures, plan.seconds
        self.head = json.dumps(plan.message(max_pixels)).encode() + b"\n"
        for decoder in self.decoders:
            self._send(decoder, self.head)
        while len(self.decoders) < min(processes, -(-len(waiting) // IN_FLIGHT)):
            self._start()
        while waiting or self.is_busy:
            self._feed(waiting)
            yield from self._answers()
            yield None

    @property
    def is_busy(self) -> bool:
        return any(decoder.pending for decoder in self.decoders)

    def _start(self) -> Decoder:
        process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER), str(self.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        decoder = Decoder(process)
        self._send(decoder, self.head)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self.selector.register(process.stdout, selectors.EVENT_READ, decoder)
        self.decoders.append(decoder)
        return decoder

    def _feed(self, waiting: deque[int]) -> None:
        for decoder in self.decoders:
            while waiting and len(decoder.pending) < IN_FLIGHT:
                self._ask(decoder, waiting.popleft())

    def _answers(self) -> Iterator[Answer]:
        for key, _ in self.selector.select(timeout=1.0):
            decoder: Decoder = key.data
            piece = os.read(key.fd, 2**16)
            if not piece:
                yield from self._bury(decoder, None)
                continue
            *lines, decoder.buffer = (decoder.buffer + piece).split(b"\n")
            decoder.since = time.monotonic()
            for line in lines[: len(decoder.pending)]:
                yield decoder.pending.popleft(), _parse(line)
        for decoder in list(self.decoders):
            if decoder.pending and time.monotonic() - decoder.since > self.seconds:
                yield from self._bury(decoder, f"decoding it takes longer than {self.seconds:g} s")

    def close(self) -> None:
        for decoder in self.decoders:
            self._end(decoder)
        self.selector.close()

    def _ask(self, decoder: Decoder, index: int) -> None:
        if not decoder.pending:
            decoder.since = time.monotonic()
        decoder.pending.append(index)
        self._send(decoder, json.dumps(self.pictures[index].task(index)).encode() + b"\n")

    def _send(self, decoder: Decoder, line: bytes) -> None:
        assert decoder.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is seen where its answers are read
            decoder.process.stdin.write(line)
            decoder.process.stdin.flush()

    def _bury(self, decoder: Decoder, reason: str | None) -> Iterator[Answer]:
        """Ends a decoder that is dead or has to be; the picture it was at is refused, the others get another one."""
        self.decoders.remove(decoder)
        code = self._end(decoder)
        if not decoder.pending:
            return
        yield decoder.pending.popleft(), Faulty(reason or _death(code))
        if decoder.pending:
            successor = self._start()
            for index in decoder.pending:
                self._ask(successor, index)

    def _end(self, decoder: Decoder) -> int:
        process = decoder.process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(KeyError):
            self.selector.unregister(process.stdout)
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


def _settled(done: Answer | None) -> tuple[int, Outcome] | None:
    """The last word on a picture."""
    if done is None:
        return None
    index, outcome = done
    return index, Faulty(outcome.reason) if isinstance(outcome, _Large) else outcome


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
