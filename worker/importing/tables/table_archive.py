"""Archives and folders that hold tables and no pictures, as Kaggle's downloads do: which are read, as which split."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from service.errors import ImportRefusedError
from service.pictures.signatures import HEAD_BYTES, is_picture
from worker.importing.archives.listing import Listing, Member, first_bytes
from worker.importing.names import printable
from worker.importing.raw_data import Input, Reading
from worker.importing.splits import TRAIN
from worker.importing.tables.cells import PICTURE_NAME
from worker.importing.tables.csv_file import Table, open_table
from worker.importing.tables.formats import open_lines
from worker.importing.tables.header import fold
from worker.importing.tables.split_column import split_word
from worker.importing.tables.table import load_rows

SUFFIXES = re.compile(r"\.(?:csv|tsv|tab|data|psv|xlsx|xlsm|parquet|feather|arrow|jsonl|ndjson)$", re.IGNORECASE)
MAX_OTHERS = 20
"""Files without a suffix or of other kinds beside tables; where there are more, these are the data."""
PIECE_BYTES = 2**20


def holds_tables(listing: Listing) -> bool:
    """Whether there are tables and no pictures."""
    others = [member for name, member in listing.members.items() if not SUFFIXES.search(name)]
    if len(others) == len(listing.members) or len(others) > MAX_OTHERS:
        return False
    return not any(PICTURE_NAME.search(member.name) or is_picture(first_bytes(member, HEAD_BYTES)) for member in others)


def load_tables(listing: Listing, source: Input) -> Reading:
    """The rows of the table of an archive, or of those of train, val and test."""
    members = [member for name, member in sorted(listing.members.items()) if SUFFIXES.search(name)]
    members = [member for member in members if "submission" not in member.name.casefold()] or members
    others = [name for name in listing.members if name not in {member.name for member in members}]
    raw = yield from load_rows(lambda: _open(members, source, listing), source.context.scratch)
    for name in others:
        listing.ignore(name, "no table of labelled rows")
    raw.ignored = [*raw.ignored, *listing.ignored]
    raw.corrupt = [*raw.corrupt, *listing.corrupt]
    return raw


@dataclass(frozen=True)
class Candidate:
    """A table of an archive, the split that its name says, and why it cannot be read as one of labelled rows."""

    name: str
    split: int | None
    table: Table | None
    error: ImportRefusedError | None


def _open(members: Sequence[Member], source: Input, listing: Listing) -> Table:
    candidates = [_candidate(member, source) for member in members]
    labelled = [candidate for candidate in candidates if candidate.table is not None]
    if not labelled:
        raise next(candidate.error for candidate in candidates if candidate.error is not None)
    train = [candidate for candidate in labelled if candidate.split == TRAIN]
    first = labelled[0] if len(labelled) == 1 else train[0] if len(train) == 1 else None
    if first is None or first.table is None:
        names = ", ".join(printable(candidate.name) for candidate in labelled[:20])
        raise ImportRefusedError(
            "tables-several", f"several tables have a label: {names}; upload one, or call them train, val and test"
        )
    table = first.table
    for other in candidates:
        if other is first:
            continue
        if other.table is not None and other.split is not None and other.split != TRAIN and _fits(table, other.table):
            table.parts.append(replace(other.table.parts[0], title=f"{printable(other.name)} ", split=other.split))
        else:
            listing.ignore(other.name, "without a label" if other.error else "another table")
    if len(table.parts) > 1:
        table.parts[0] = replace(table.parts[0], title=f"{printable(first.name)} ", split=TRAIN)
    read = ", ".join(printable(name) for name in [first.name, *(c.name for c in candidates if _is_part(c, table))])
    if len(candidates) > 1:
        table.notes.append(f"of {len(candidates)} tables these were read: {read}")
    return table


def _candidate(member: Member, source: Input) -> Candidate:
    name = PurePosixPath(member.name).name
    path = _extracted(member, source.context.scratch)
    try:
        table = open_table(open_lines(replace(source, path=path, name=name)), source.options.label_column)
    except ImportRefusedError as error:
        return Candidate(member.name, split_word(PurePosixPath(name).stem), None, error)
    return Candidate(member.name, split_word(PurePosixPath(name).stem), table, None)


def _is_part(candidate: Candidate, table: Table) -> bool:
    return (
        candidate.table is not table
        and candidate.table is not None
        and any(part.text == candidate.table.parts[0].text for part in table.parts)
    )


def _fits(table: Table, other: Table) -> bool:
    """Whether the columns are the same."""
    return [fold(column.name) for column in table.columns] == [fold(column.name) for column in other.columns]


def _extracted(member: Member, scratch: Path) -> Path:
    """The file itself where it is one, else a copy of the part of the archive."""
    if member.length < 0:
        return Path(member.path)
    folder = scratch / "members"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(len(list(folder.iterdir())))
    unpack = zlib.decompressobj(-15) if member.method else None
    with open(member.path, "rb") as archive, target.open("wb") as file:
        archive.seek(member.start)
        left = member.length
        while left and (piece := archive.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            while piece:
                file.write(piece if unpack is None else unpack.decompress(piece, PIECE_BYTES))
                piece = b"" if unpack is None else unpack.unconsumed_tail
        if left:
            raise ImportRefusedError("archive-malformed", f"`{printable(member.name)}` ends early")
    if member.size >= 0 and target.stat().st_size != member.size:
        raise ImportRefusedError("archive-malformed", f"`{printable(member.name)}` is not as long as the archive says")
    return target
