"""Which picture a cell of a table means: a path, a file's name, or a name without its suffix."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from worker.importing.split_names import split_of

NUMBER = re.compile(r"[0-9]{1,18}\Z")
"""At the end of a name: `img_12` is the picture with the id 12."""


class PictureIndex:
    """Pictures by what a table may call them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for name in names:
            path = PurePosixPath(_key(name))
            self._by_name.setdefault(path.name, []).append(name)
            self._by_stem.setdefault(path.stem, []).append(name)
            if (number := NUMBER.search(path.stem)) is not None:
                self._by_number.setdefault(int(number[0]), []).append(name)

    def find(self, cell: str, folder: str = "", split: int | None = None) -> str | None:
        """The picture; None where there is none, or several and neither their folders nor the split say which.

        `folder` is the table's own, `split` what the table or its row is for.
        """
        wanted = PurePosixPath(_key(cell).strip("/ ") or ".")
        found = self._by_name.get(wanted.name) or self._by_stem.get(wanted.name) or self._by_stem.get(wanted.stem, [])
        if not found and wanted.name.isdecimal():
            found = self._by_number.get(int(wanted.name), [])
        if len(found) > 1:
            tails = [_common_tail(wanted, PurePosixPath(_key(name))) for name in found]
            found = [name for name, tail in zip(found, tails, strict=True) if tail == max(tails)]
        if len(found) > 1 and split is not None:
            found = [name for name in found if folder_split(name) == split]
        if len(found) > 1 and folder:
            found = [name for name in found if name.startswith(folder + "/")]
        return found[0] if len(found) == 1 else None


def folder_split(name: str) -> int | None:
    """The split that one of a picture's folders stands for."""
    return next((split for part in name.split("/")[:-1] if (split := split_of(part, short=True)) is not None), None)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _common_tail(first: PurePosixPath, second: PurePosixPath) -> int:
    """How many folders, from the file upwards, are the same."""
    pairs = zip(reversed(first.parts[:-1]), reversed(second.parts[:-1]), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(first.parts), len(second.parts)) - 1)
