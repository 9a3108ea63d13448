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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DECODER = Path(__file__).with_name("decoder.py")
MEMORY_BYTES = 640 * 2**20
LARGE_MEMORY_BYTES = 1280 * 2**20
MAX_PIXELS = 50 * 10**6
"""Pictures with more pixels wait and are decoded one at a time."""
LARGE_MAX_PIXELS = 200 * 10**6
SECONDS = 60.0
"""For one picture."""
IN_FLIGHT = 4
"""Tasks that a decoder holds, so that it never waits for the next."""


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
    seconds: float = SECONDS


@dataclass
class Decoder:
    """One process, what it was asked and has not answered."""

    process: subprocess.Popen[bytes]
    pending: deque[int] = field(default_factory=deque)
    buffer: bytes = b""
    since: float = 0.0


def decode(pictures: Sequence[Picture], plan: Plan, processes: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """What became of each picture, as they are done: its facts, or `{"error": reason}`. Nothing that a picture holds
    raises here.
    """
    count = processes or len(os.sched_getaffinity(0))
    large: list[int] = []
    for index, answer in _decode(pictures, range(len(pictures)), plan, count, MEMORY_BYTES, MAX_PIXELS):
        if "large" in answer:
            large.append(index)
        else:
            yield index, answer
    for index, answer in _decode(pictures, large, plan, 1, LARGE_MEMORY_BYTES, LARGE_MAX_PIXELS):
        yield index, {"error": answer["large"]} if "large" in answer else answer


def _decode(
    pictures: Sequence[Picture], wanted: Sequence[int], plan: Plan, processes: int, memory: int, max_pixels: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    waiting = deque(wanted)
    pool = _Pool(pictures, plan, {"memory": memory, "max_pixels": max_pixels})
    try:
        for _ in range(min(processes, -(-len(waiting) // IN_FLIGHT))):
            pool.start()
        while waiting or pool.is_busy:
            pool.feed(waiting)
            yield from pool.answers()
    finally:
        pool.close()


class _Pool:
    """The decoders of one pass; one that dies or hangs costs its picture and is replaced."""

    def __init__(self, pictures: Sequence[Picture], plan: Plan, limits: dict[str, int]) -> None:
        self.pictures, self.plan = pictures, plan
        head = {
            "x": str(plan.x),
            "thumbs": str(plan.thumbs),
            "height": plan.height,
            "width": plan.width,
            "channels": plan.channels,
            "offset": plan.offset,
            "limit": LARGE_MAX_PIXELS,
            **limits,
        }
        self.head = json.dumps(head).encode() + b"\n"
        self.decoders: list[Decoder] = []
        self.selector = selectors.DefaultSelector()

    @property
    def is_busy(self) -> bool:
        return any(decoder.pending for decoder in self.decoders)

    def start(self) -> Decoder:
        process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER)],
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

    def feed(self, waiting: deque[int]) -> None:
        for decoder in self.decoders:
            while waiting and len(decoder.pending) < IN_FLIGHT:
                self._ask(decoder, waiting.popleft())

    def answers(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, _ in self.selector.select(timeout=1.0):
            decoder: Decoder = key.data
            piece = os.read(key.fd, 2**16)
            if not piece:
                yield from self._bury(decoder, None)
                continue
            *lines, decoder.buffer = (decoder.buffer + piece).split(b"\n")
            decoder.since = time.monotonic()
            for line in lines:
                yield decoder.pending.popleft(), _parse(line)
        for decoder in list(self.decoders):
            if decoder.pending and time.monotonic() - decoder.since > self.plan.seconds:
                yield from self._bury(decoder, f"decoding it takes longer than {self.plan.seconds:g} s")

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

    def _bury(self, decoder: Decoder, reason: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Ends a decoder that is dead or has to be; the picture it was at is refused, the others get another one."""
        self.decoders.remove(decoder)
        code = self._end(decoder)
        if not decoder.pending:
            return
        yield decoder.pending.popleft(), {"error": reason or _death(code)}
        if decoder.pending:
            successor = self.start()
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


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": "its decoder went astray"}


def _death(code: int) -> str:
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"exit code {code}"
    return f"its decoder died ({name})"
