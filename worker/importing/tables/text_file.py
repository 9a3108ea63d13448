"""Text files as they come: gzipped or not, in several encodings; no line too long to hold."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_BYTES

MAX_LINE = 2**24
HEAD_BYTES = 2**16
PIECE_CHARACTERS = 2**20
OPENERS: tuple[tuple[bytes, Callable[[BinaryIO], AbstractContextManager[object]]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)
MARKS = (
    (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)  # fmt: skip
BAD_BYTES = re.compile("[\udc80-\udcff]")
WORD = re.compile(rb"[A-Za-z\x80-\xff]{3,}")
"""In text of one byte a letter."""


@dataclass(frozen=True)
class TextFile:
    """A file and how its bytes become text; bytes that are none become lone surrogates."""

    path: Path
    encoding: str = "utf-8-sig"
    note: str | None = None
    """What had to be guessed."""

    def lines(self) -> Iterator[str]:
        """The lines of the text, unpacked."""
        total = 0
        with ExitStack() as stack:
            data = _open(self.path, stack)
            text = stack.enter_context(
                io.TextIOWrapper(data, encoding=self.encoding, errors="surrogateescape", newline="")
            )
            while line := text.readline(MAX_LINE):
                total += len(line)
                if len(line) == MAX_LINE or total > MAX_BYTES:
                    raise ImportRefusedError("csv-too-large", "a line, or the whole, is too long for a table")
                yield line


def open_text(path: Path) -> TextFile:
    """By its mark; UTF-16 without one by its zeros; else UTF-8 when most of it is, else an encoding of Windows."""
    with ExitStack() as stack:
        head = _open(path, stack).read(HEAD_BYTES)
    marked = next((encoding for mark, encoding in MARKS if head.startswith(mark)), None)
    if marked is not None:
        return TextFile(path, marked)
    if b"\0" in head.rstrip(b"\0"):
        return TextFile(path, _wide(head))
    good, bad, sample = _count(TextFile(path))
    if not bad:
        return TextFile(path)
    if good >= bad:
        what = f"{bad:,} bytes are no UTF-8, as the rest of the text is; they are shown as `\\x..`"
        return TextFile(path, note=what)
    encoding, name = _windows(sample)
    return TextFile(path, encoding, f"the text is not UTF-8 and was read as {name}; save it as UTF-8 if names look odd")


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    raw = stack.enter_context(path.open("rb"))
    magic = raw.read(8)
    raw.seek(0)
    opener = next((opener for start, opener in OPENERS if magic.startswith(start)), None)
    return raw if opener is None else cast(IO[bytes], stack.enter_context(opener(raw)))


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32 by where the zeros of its ASCII letters are."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if (even + odd) * 2 > 1.2 * len(head):
        return "utf-32-le" if head[0] else "utf-32-be"
    if max(even, odd) > 0.25 * len(head) and min(even, odd) < 0.1 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    raise ImportRefusedError("csv-malformed", "not a table: its bytes are no text")


def _count(text: TextFile) -> tuple[int, int, bytes]:
    """Characters beyond ASCII that are UTF-8, bytes that are not, and some text with such bytes."""
    good, bad, sample = 0, 0, b""
    for line in text.lines():
        if line.isascii():
            continue
        wrong = len(BAD_BYTES.findall(line))
        good, bad = good + sum(character > "\x7f" for character in line) - wrong, bad + wrong
        if wrong and len(sample) < HEAD_BYTES:
            sample += line.encode("utf-8", "surrogateescape")
    return good, bad, sample


def _windows(sample: bytes) -> tuple[str, str]:
    """Western text has few letters beyond ASCII in a word; where whole words are, it is Cyrillic or not known."""
    words = [word for word in WORD.findall(sample) if not word.isascii()]
    beyond = b"".join(word for word in words if not re.search(rb"[A-Za-z]", word))
    if 2 * len(beyond) <= len(b"".join(words)):
        return "cp1252", "Windows-1252 (Western)"
    if sum(byte >= 0xC0 or byte in (0xA8, 0xB8) for byte in beyond) >= 0.98 * len(beyond):
        return "cp1251", "Windows-1251 (Cyrillic)"
    raise ImportRefusedError(
        "csv-encoding", "the text is neither UTF-8 nor an encoding that can be told apart; save the table as UTF-8"
    )
