"""Columns of a table: what a first reading learns of their cells, and the features that they become."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.importing.names import printable
from worker.importing.tables.cells import (
    MISSING_NUMBERS,
    PICTURE_NAME,
    SCALES,
    day,
    is_missing,
    number,
    plain_number,
    several_numbers,
)
from worker.importing.tables.header import fold

MAX_CATEGORIES = 100
TEXTS_PER_ROW = 0.2
"""A category comes again: at most 20 different texts in 100 rows, or a few of which each comes twice."""
FEW_TEXTS = 5
NUMBER_SHARE = 0.95
"""Of the cells that are not missing: what is no number among so many numbers is an odd cell, not a category."""
MOST = 0.8
"""The same for a column that would be left out as text otherwise."""
SHOWN_CELLS = 20
MAX_UNITS = 50
POINTED_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+")
IDS = {
    "id", "ids", "index", "row names", "unnamed: 0", "column 1", "row", "row id", "rowid", "row number", "nr", "#",
    "uid", "sample id", "sampleid", "record id", "customer id", "customerid", "patient id", "patientid", "user id",
    "userid", "passengerid", "passenger id", "object id", "objectid", "image id", "imageid",
}  # fmt: skip
"""Names of columns, in the form that `fold` gives them, that tell rows apart and nothing else."""
NAN = float("nan")


class Kind(StrEnum):
    """What the cells of a column are, most of them."""

    NUMBERS = "numbers"
    DATES = "dates"
    CATEGORIES = "categories"
    SEVERAL_NUMBERS = "several numbers"
    PICTURE_NAMES = "names of pictures"
    FREE_TEXT = "text that hardly repeats"
    EMPTY = "no values"


@dataclass(frozen=True)
class Encoding:
    """The features that one column becomes: their names, and their numbers for a stripped cell (NaN: missing)."""

    column: int
    names: list[str]
    read: Callable[[str], Sequence[float]]
    categories: list[str] | None = None


@dataclass
class Column:
    """What a first reading learns of one column."""

    name: str
    texts: dict[str, int] = field(default_factory=dict)
    """Different texts and how often they come, as long as they are few."""
    has_many_texts: bool = False
    filled: int = 0
    missing: int = 0
    words: int = 0
    """Cells with a word that means nothing in a column of numbers."""
    plain: int = 0
    pointed: int = 0
    """Plain numbers that are none with a decimal comma."""
    has_point: bool = False
    units: dict[str, Counter[str]] = field(default_factory=lambda: {".": Counter(), ",": Counter()})
    """By the decimal mark: units of the numbers that are not plain."""
    dates: int = 0
    pictures: int = 0
    width: int | None = 0
    """How many numbers each cell holds; None when that differs."""
    odd: dict[str, int] = field(default_factory=dict)
    """The first cells that are no numbers at all."""
    decimal: str = "."
    why_left_out: str = ""

    def learn(self, text: str) -> None:
        """Takes one more stripped cell."""
        if is_missing(text):
            self.missing += 1
            return
        self.filled += 1
        if not self.has_many_texts:
            self.texts[text] = self.texts.get(text, 0) + 1
            self.has_many_texts = len(self.texts) > MAX_CATEGORIES
        if plain_number(text) is None:
            self._learn_other(text)
            return
        self.plain += 1
        self.width = None
        if "." in text:
            self.has_point = True
            self.pointed += POINTED_THOUSANDS.fullmatch(text) is None

    def _learn_other(self, text: str) -> None:
        if text.casefold() in MISSING_NUMBERS:
            self.words += 1
            return
        is_number = False
        for decimal, units in self.units.items():
            if (parsed := number(text, decimal)) is not None:
                is_number = True
                if parsed[1] in units or len(units) < MAX_UNITS:
                    units[parsed[1]] += 1
        self.dates += day(text) is not None
        self.pictures += PICTURE_NAME.search(text) is not None
        if self.width is not None:
            numbers = several_numbers(text)
            self.width = len(numbers) if numbers and self.width in (0, len(numbers)) else None
        if not is_number and (text in self.odd or len(self.odd) < SHOWN_CELLS):
            self.odd[text] = self.odd.get(text, 0) + 1

    def numbers(self, decimal: str) -> int:
        """Cells that are numbers of one unit with this decimal mark."""
        plain = self.plain - (self.pointed if decimal == "," else 0)
        return plain + sum(self.units[decimal][unit] for unit in self.scales(decimal))

    def scales(self, decimal: str) -> dict[str, float]:
        """Factors of the units that are understood: of those that multiply, or 1 for the commonest."""
        units = self.units[decimal]
        named = [unit for unit, _ in units.most_common() if unit]
        multiply = set(named) <= SCALES.keys() and (len(named) > 1 or self.plain > 0)
        return SCALES if multiply else dict.fromkeys(["", *named[:1]], 1.0)

    @property
    def unit(self) -> str:
        """The commonest unit of the numbers."""
        return next((unit for unit, _ in self.units[self.decimal].most_common(1)), "")

    @property
    def number_share(self) -> float:
        """Share of numbers among the cells that are not missing."""
        return self.numbers(self.decimal) / max(self.filled - self.words, 1)

    @property
    def kind(self) -> Kind:
        """What most of the cells are."""
        known = self.filled - self.words
        if self.filled == 0 or (known == 0 and self.has_many_texts):
            return Kind.EMPTY
        if self.pictures > NUMBER_SHARE * known:
            return Kind.PICTURE_NAMES
        if self.dates >= NUMBER_SHARE * known > 0:
            return Kind.DATES
        if self.width:
            return Kind.SEVERAL_NUMBERS
        if self.number_share >= NUMBER_SHARE:
            return Kind.NUMBERS
        if not self.has_many_texts and self._repeats():
            return Kind.CATEGORIES
        return Kind.NUMBERS if self.number_share >= MOST else Kind.FREE_TEXT

    def _repeats(self) -> bool:
        different, filled = len(self.texts), self.filled
        return different <= TEXTS_PER_ROW * filled or (different <= FEW_TEXTS and 2 * different <= filled)

    def is_id(self) -> bool:
        """Whether a column of such a name holds whole numbers that never come again, as far as was seen."""
        is_whole = self.plain == self.filled > 1 and not self.has_point
        return fold(self.name) in IDS and is_whole and (self.has_many_texts or len(self.texts) == self.filled)

    @property
    def not_numbers(self) -> int:
        """Cells of a column of numbers that are none, and say nothing that stands for a missing one."""
        return self.filled - self.words - self.numbers(self.decimal)


def encode(index: int, column: Column) -> Encoding | None:
    """The features of one column; None for one that cannot be used."""
    match column.kind:
        case Kind.NUMBERS:
            return _encode_numbers(index, column)
        case Kind.DATES:
            return Encoding(index, [column.name], lambda text: (NAN if (at := day(text)) is None else at,))
        case Kind.CATEGORIES:
            return _encode_categories(index, column)
        case Kind.SEVERAL_NUMBERS:
            assert column.width is not None
            width, nothing = column.width, [NAN] * column.width
            names = [f"{column.name}.{number}" for number in range(width)]
            return Encoding(index, names, lambda text: several_numbers(text) or nothing)
        case Kind.PICTURE_NAMES | Kind.FREE_TEXT | Kind.EMPTY:
            return None


def _encode_numbers(index: int, column: Column) -> Encoding:
    """One feature: the numbers without their units; NaN for missing and odd cells."""
    decimal, scales = column.decimal, column.scales(column.decimal)

    def read(text: str) -> tuple[float]:
        if decimal == "." and (value := plain_number(text)) is not None:
            return (value,)
        parsed = None if is_missing(text) else number(text, decimal)
        return (NAN,) if parsed is None else (parsed[0] * scales.get(parsed[1], NAN),)

    return Encoding(index, [column.name], read)


def _encode_categories(index: int, column: Column) -> Encoding:
    """One feature a category in the order of their names (one for two), and one for missing cells."""
    categories = sorted(column.texts)
    shown = categories[1:] if len(categories) == 2 and not column.missing else categories
    width = len(shown) + bool(column.missing)
    flags = {text: [float(at == number) for at in range(width)] for number, text in enumerate(shown)}
    nothing = [0.0] * width
    empty = [*nothing[:-1], 1.0] if column.missing else nothing
    names = [f"{column.name}={printable(category)}" for category in shown]
    return Encoding(
        index,
        [*names, f"{column.name}="] if column.missing else names,
        lambda text: empty if is_missing(text) else flags.get(text, nothing),
        [printable(category) for category in categories],
    )


def settle_decimals(columns: Sequence[Column], delimiter: str) -> None:
    """Which decimal mark each column has: the one that makes more numbers of it; of `1,234` the other columns decide.

    Without them a comma separates thousands, unless semicolons separate the cells, as they do where commas separate
    decimals.
    """
    votes = {",": 0, ".": 0}
    open_columns = []
    for column in columns:
        point, comma = column.numbers("."), column.numbers(",")
        if point == comma:
            open_columns.append(column)
            continue
        column.decimal = "." if point > comma else ","
        votes[column.decimal] += column.number_share >= MOST
    for column in open_columns:
        if votes[","] != votes["."]:
            column.decimal = "," if votes[","] > votes["."] else "."
        else:
            column.decimal = "," if delimiter == ";" and not column.has_point else "."
