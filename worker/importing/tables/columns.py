"""Columns of a table: numbers or text, and the features that they become."""

from dataclasses import dataclass, field

from worker.importing.names import printable

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
MAX_CATEGORIES = 100
NUMBERS, TEXT = "numbers", "text"


@dataclass
class Column:
    """What a first reading learns of one column."""

    name: str
    kind: str = NUMBERS
    texts: set[str] = field(default_factory=set)
    """Different texts, as long as they are few."""
    is_free_text: bool = False
    has_missing: bool = False

    def learn(self, cell: str, decimal: str) -> None:
        """Takes one more cell."""
        text = cell.strip()
        if is_missing(text):
            self.has_missing = True
            return
        if self.kind == NUMBERS and number(text, decimal) is None:
            self.kind = TEXT
        if not self.is_free_text:
            self.texts.add(text)
            self.is_free_text = len(self.texts) > MAX_CATEGORIES


@dataclass(frozen=True)
class Feature:
    """One feature of a row: the numbers of a column, or a flag for one of its categories (None: for missing values)."""

    column: int
    name: str
    category: str | None = None
    is_flag: bool = False

    def value(self, cell: str, decimal: str) -> float:
        """What a cell becomes; NaN for a missing number."""
        text = cell.strip()
        if self.is_flag:
            return float(is_missing(text) if self.category is None else text == self.category)
        value = None if is_missing(text) else number(text, decimal)
        return float("nan") if value is None else value


def encode(index: int, column: Column) -> list[Feature]:
    """The features of one column: one a category in the order of their names (one for two), one for missing."""
    if column.kind == NUMBERS:
        return [Feature(index, column.name)]
    categories = sorted(column.texts)
    shown = categories[1:] if len(categories) == 2 and not column.has_missing else categories
    flags = [Feature(index, f"{column.name}={printable(category)}", category, True) for category in shown]
    return flags + ([Feature(index, f"{column.name}=", None, True)] if column.has_missing else [])


def number(text: str, decimal: str) -> float | None:
    """The number that a cell holds."""
    try:
        return float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return None


def is_missing(text: str) -> bool:
    """Whether a stripped cell says that there is nothing."""
    return text.lower() in MISSING
