"""Decoder processes on all cores: a limit of memory for each, and a limit of time for each picture."""

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

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.importing.archives.listing import Faulty, Member
from worker.importing.images.decoder import Plan

PROGRAM = """
import sys
root, memory_bytes = sys.argv[1:]
if root not in sys.path:
    sys.path.insert(0, root)
from worker.importing.images import decoder
decoder.main(int(memory_bytes))
"""
ROOT = Path(__file__).parents[3]
"""The folder of the packages: the isolated interpreter (`-I`) finds this very tree there, installed or not."""
MEMORY_BYTES = 640 * 2**20
LARGE_MEMORY_BYTES = 1280 * 2**20
MAX_PIXELS = 50 * 10**6
"""Pictures with more pixels are decoded one at a time, beside the others, with more memory."""
SECONDS = 60.0
"""For one picture."""
LARGE_PATIENCE = 5
"""Pictures with more pixels may take so many times as long."""
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""glibc's malloc would hand the pixels of each picture back to the kernel, and have them cleared for the next."""
IN_FLIGHT = 4
"""Tasks that a decoder holds, so that it never waits for the next."""
LONG_BYTES = 10**5
"""Larger files come first, the largest at first: else one of them may be left over while all other cores idle."""


class Decoded(BaseModel):
    """What a decoder says of a picture that it could read."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: tuple[int, int]
    """Width and height of the original, the right way up."""
    mode: str
    format: str
    frames: int
    turned: bool
    """Whether EXIF data asked for a turn."""
    span: tuple[float, float] | None = None
    """Smallest and largest number of a picture of more than 8 bits."""
    is_halved: bool = False
    """Whether only the upper 8 of its 16 bits could be read."""
    file: str = ""
    """SHA-256 of the picture's bytes."""
    row: str = ""
    """SHA-256 of the packed pixels."""


class _Large:
    """A picture that only a process with more memory decodes."""


Outcome = Decoded | Faulty
Answer = tuple[int, Outcome | _Large]


@dataclass
class _Process:
    """One decoder, what it was asked and has not answered."""

    process: subprocess.Popen[bytes]
    group: "_Group"
    pending: deque[int] = field(default_factory=deque)
    buffer: bytes = b""
    since: float = 0.0
    """When it was given work, or answered last."""


@dataclass
class _Group:
    """Decoders with the same limits, and the pictures that wait for them."""

    memory_bytes: int
    size: int
    decoders: list[_Process] = field(default_factory=list)
    waiting: deque[int] = field(default_factory=deque)
    plan: bytes = b""
    seconds: float = SECONDS

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting) or any(decoder.pending for decoder in self.decoders)


class Decoders:
    """A decoder on each core, for several passes over pictures; one that dies or hangs costs its picture."""

    def __init__(self, processes: int | None = None) -> None:
        self._usual = _Group(MEMORY_BYTES, processes or len(os.sched_getaffinity(0)))
        self._large = _Group(LARGE_MEMORY_BYTES, 1)
        self._selector = selectors.DefaultSelector()
        self._files: Sequence[Member] = ()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        for group in (self._usual, self._large):
            self._close(group)
        self._selector.close()

    def decode(
        self, files: Sequence[Member], plan: Plan, seconds: float = SECONDS
    ) -> Iterator[tuple[int, Outcome] | None]:
        """What became of each file, as they are done; None now and then while it takes long.

        Nothing that a file holds raises here.
        """
        self._files = files
        order = sorted(range(len(files)), key=lambda index: -_long(files[index]))
        self._begin(self._usual, order, plan._replace(max_pixels=MAX_PIXELS), seconds)
        self._begin(self._large, (), plan, LARGE_PATIENCE * seconds)
        while self._usual.is_busy or self._large.is_busy:
            self._assign(self._usual)
            self._assign(self._large)
            for index, outcome in self._answers():
                if isinstance(outcome, _Large):
                    self._large.waiting.append(index)
                else:
                    yield index, outcome
            yield None
        self._close(self._large)

    def _begin(self, group: _Group, order: Iterable[int], plan: Plan, seconds: float) -> None:
        group.waiting, group.plan, group.seconds = deque(order), _line(plan._asdict()), seconds
        for decoder in group.decoders:
            self._send(decoder, group.plan)

    def _assign(self, group: _Group) -> None:
        while len(group.decoders) < min(group.size, -(-len(group.waiting) // IN_FLIGHT)):
            self._start(group)
        for decoder in group.decoders:
            while group.waiting and len(decoder.pending) < IN_FLIGHT:
                self._ask(decoder, group.waiting.popleft())

    def _start(self, group: _Group) -> _Process:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", PROGRAM, str(ROOT), str(group.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | KEEPS_MEMORY,
        )
        decoder = _Process(process, group)
        self._send(decoder, group.plan)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, decoder)
        group.decoders.append(decoder)
        return decoder

    def _answers(self) -> Iterator[Answer]:
        for key, _ in self._selector.select(timeout=1.0):
            decoder: _Process = key.data
            piece = os.read(key.fd, 2**16)
            if not piece:
                yield from self._reap(decoder, None)
                continue
            *lines, decoder.buffer = (decoder.buffer + piece).split(b"\n")
            decoder.since = time.monotonic()
            for line in lines[: len(decoder.pending)]:
                yield decoder.pending.popleft(), _parse(line, may_be_large=decoder.group is self._usual)
        for decoder in (*self._usual.decoders, *self._large.decoders):
            seconds = decoder.group.seconds
            if decoder.pending and time.monotonic() - decoder.since > seconds:
                yield from self._reap(decoder, f"decoding it takes longer than {seconds:g} s")

    def _ask(self, decoder: _Process, index: int) -> None:
        if not decoder.pending:
            decoder.since = time.monotonic()
        decoder.pending.append(index)
        file = self._files[index]
        self._send(decoder, _line([index, file.path, file.start, file.length, file.method, file.size, file.crc]))

    def _send(self, decoder: _Process, line: bytes) -> None:
        assert decoder.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is seen where its answers are read
            decoder.process.stdin.write(line)
            decoder.process.stdin.flush()

    def _reap(self, decoder: _Process, reason: str | None) -> Iterator[Answer]:
        """Ends a decoder that is dead or has to be; the picture it was at is refused, the others get another one."""
        decoder.group.decoders.remove(decoder)
        code = self._end(decoder)
        if not decoder.pending:
            return
        yield decoder.pending.popleft(), Faulty(reason or _death(code))
        if decoder.pending:
            successor = self._start(decoder.group)
            for index in decoder.pending:
                self._ask(successor, index)

    def _close(self, group: _Group) -> None:
        for decoder in group.decoders:
            self._end(decoder)
        group.decoders.clear()

    def _end(self, decoder: _Process) -> int:
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


def _long(file: Member) -> int:
    """The file's size if it is large, else 0; a file that cannot be seen now is found out by its decoder."""
    size = file.size
    if size < 0:
        with suppress(OSError):
            size = Path(file.path).stat().st_size
    return size if size > LONG_BYTES else 0


def _line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _parse(line: bytes, *, may_be_large: bool) -> Outcome | _Large:
    try:
        answer = json.loads(line)
        if "large" in answer and may_be_large:
            return _Large()
        return Faulty(str(answer["error"])) if "error" in answer else Decoded.model_validate_json(line)
    except (ValueError, TypeError, ValidationError):
        return Faulty("the decoder returned an invalid response")


def _death(code: int) -> str:
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"exit code {code}"
    return f"the decoder process died ({name})"
