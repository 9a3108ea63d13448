"""What the import of a table tells: columns left out or encoded, cells that are no numbers, how the file was read."""

from collections.abc import Sequence

from service.reports.finding import Finding
from worker.importing.findings import SHOWN, finding
from worker.importing.names import printable
from worker.importing.tables.columns import Column, Encoding, Kind

HALF = 0.5


def table_notes(
    columns: Sequence[Column], encodings: Sequence[Encoding], left_out: Sequence[Column], read: Sequence[str]
) -> list[Finding | None]:
    """Findings about a table's form."""
    used = [(columns[encoding.column], encoding) for encoding in encodings]
    numbers = [column for column, _ in used if column.kind == Kind.NUMBERS]
    categories = [column for column, encoding in used if encoding.categories]
    return [
        _note_left_out([column for column in left_out if column.kind in (Kind.FREE_TEXT, Kind.PICTURE_NAMES)]),
        _note_encoded([column.name for column in categories]),
        _note_odd_cells([column for column in numbers if column.not_numbers]),
        _note_numbers_as_text([column for column in categories if column.number_share >= HALF]),
        _note_read([*read, *_ways_of_numbers([column for column, _ in used]), *_not_used(left_out)]),
    ]


def _note_left_out(columns: Sequence[Column]) -> Finding | None:
    if not columns:
        return None
    names = [column.name for column in columns]
    return finding(
        "P25", "warning", f"Columns of text that hardly repeats were left out: {', '.join(names[:SHOWN])}.",
        "Make categories or numbers of them if they matter.", count=len(names), columns=names[:SHOWN],
    )  # fmt: skip


def _note_encoded(names: Sequence[str]) -> Finding | None:
    if not names:
        return None
    return finding(
        "P26", "info", f"Columns of text became one feature a category: {', '.join(names[:SHOWN])}.",
        "Nothing; the profile's `meta.categories` records the encoding.", columns=list(names[:SHOWN]),
    )  # fmt: skip


def _note_odd_cells(columns: Sequence[Column]) -> Finding | None:
    """P27: cells of a column of numbers that are none."""
    if not columns:
        return None
    shown = [
        f"{column.name}: `{printable(text)[:60]}` ({count:,})" for column in columns for text, count in _odd(column)
    ]
    count = sum(column.not_numbers for column in columns)
    return finding(
        "P27", "warning",
        f"{count:,} cells of columns of numbers are no numbers and count as missing: {'; '.join(shown[:5])}.",
        "Correct them, or leave them empty where the value is not known.", count=count,
        columns=[column.name for column in columns[:SHOWN]], examples=shown[:SHOWN],
    )  # fmt: skip


def _odd(column: Column) -> list[tuple[str, int]]:
    others = {
        f"... {unit}".strip(): count
        for unit, count in column.units[column.decimal].items()
        if unit not in column.scales(column.decimal)
    }
    return [*column.odd.items(), *others.items()]


def _note_numbers_as_text(columns: Sequence[Column]) -> Finding | None:
    """P27 for columns in which words are so common that the numbers became categories too."""
    if not columns:
        return None
    shown = [
        f"{column.name} ({column.number_share:.0%} numbers, beside "
        + ", ".join(f"`{printable(text)[:40]}`" for text, _ in _odd(column)[:3]) + ")"
        for column in columns
    ]  # fmt: skip
    return finding(
        "P27", "warning",
        f"Most cells of these columns are numbers, and they were read as text: {'; '.join(shown[:5])}.",
        "Leave the cells that are no numbers empty if the column measures something.", columns=shown[:SHOWN],
    )  # fmt: skip


def _ways_of_numbers(columns: Sequence[Column]) -> list[str]:
    """Numbers that are not written as programs write them."""
    numbers = [column for column in columns if column.kind == Kind.NUMBERS]
    told = []
    commas = [column.name for column in numbers if column.decimal == "," and column.numbers(",") > column.numbers(".")]
    if commas:
        told.append(f"numbers with decimal commas: {', '.join(commas[:SHOWN])}")
    units = [f"{column.name} ({column.unit})" for column in numbers if column.unit]
    if units:
        told.append(f"numbers with units, which were left out: {', '.join(units[:SHOWN])}")
    dates = [column.name for column in columns if column.kind == Kind.DATES]
    if dates:
        told.append(f"dates became days since 1970: {', '.join(dates[:SHOWN])}")
    return told


def _not_used(left_out: Sequence[Column]) -> list[str]:
    others = [
        column for column in left_out if column.why_left_out and column.kind not in (Kind.FREE_TEXT, Kind.PICTURE_NAMES)
    ]
    named = [f"{column.name} ({column.why_left_out})" for column in others]
    return [f"columns that are no features: {', '.join(named[:SHOWN])}"] if named else []


def _note_read(notes: Sequence[str]) -> Finding | None:
    """P29: what had to be decided to read the table."""
    if not notes:
        return None
    return finding(
        "P29", "info", "The table was read as follows: " + "; ".join(notes) + ".",
        "Nothing, if that is what was meant.", count=len(notes), examples=list(notes),
    )  # fmt: skip
