"""How a CSV file separates its cells: the separator, quotes, comments, and the line `sep=;` of Excel."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from worker.importing.tables.cells import number

DELIMITERS = ",;\t|"
SPACE = " "
COMMENTS = ("#", "%", "//")
SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
MAX_FIELD = 2**17
SAMPLE_LINES = 1000
SAMPLE_CHARACTERS = 2**20
GOOD = 0.5
BROKEN = 0.9
ENDS = "\0\x1a\r\n \t"
"""What stands at the end of files of old programs."""


@dataclass(frozen=True)
class Dialect:
    """What a file separates its cells with, and which lines are none."""

    delimiter: str
    quote: str = '"'
    comment: str | None = None
    width: int = 0
    """Cells of most lines: a comment that has as many holds the names of columns."""

    def records(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and stripped cells of the rows that are not empty."""
        reader = csv.reader(
            self._prepared(lines),
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
        )
        for row in reader:
            cells = [cell.strip() if self.quote else cell.strip(' "') for cell in row]
            if any(cells):
                yield reader.line_num, cells

    def _prepared(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, empty ones for those that hold no cells, so that the numbers stay."""
        is_first = True
        for line in lines:
            is_sep = is_first and SEP_LINE.fullmatch(line) is not None
            is_first = is_first and not line.strip()
            plain = "\n" if is_sep or not line.strip(ENDS) else self._without_comment(line)
            yield re.sub(r"[ \t]+", " ", plain.strip()) + "\n" if self.delimiter == SPACE else plain

    def _without_comment(self, line: str) -> str:
        """An empty line for a comment; the names of columns after the mark, as NumPy writes them."""
        if self.comment is None and line.startswith(COMMENTS[0]):  # below the data
            return line if len(line.split(self.delimiter)) >= self.width else "\n"
        if self.comment is None or not line.lstrip().startswith(self.comment):
            return line
        rest = line.lstrip().removeprefix(self.comment)
        if rest.startswith(self.delimiter) and self.delimiter != SPACE:  # a column that is called `#`
            return line
        cells = rest.split() if self.delimiter == SPACE else rest.split(self.delimiter)
        return rest if len(cells) >= self.width else "\n"


def sniff(lines: Iterable[str], delimiter: str | None = None) -> tuple[Dialect, list[str], bool]:
    """The dialect, the lines that it was seen in, and whether these are all; `delimiter` where it is known."""
    csv.field_size_limit(MAX_FIELD)
    sample, characters, is_whole = [], 0, True
    for line in islice(lines, SAMPLE_LINES):
        if characters > SAMPLE_CHARACTERS:
            is_whole = False
            break
        sample.append(line)
        characters += len(line)
    is_whole = is_whole and len(sample) < SAMPLE_LINES
    if delimiter is not None:
        return Dialect(delimiter), sample, is_whole
    filled = [line for line in sample if line.strip()]
    sep = SEP_LINE.fullmatch(filled[0]) if filled else None
    comment = next((mark for mark in COMMENTS if filled and filled[0].lstrip().startswith(mark)), None)
    if comment is not None and all(line.lstrip().startswith(comment) for line in filled):
        comment = None
    plain = [line for line in filled[sep is not None :] if comment is None or not line.lstrip().startswith(comment)]
    delimiter = sep[1] if sep else _delimiter(plain)
    dialect = Dialect(delimiter, _quote(plain, delimiter))
    if _is_broken(dialect, plain):
        dialect = replace(dialect, quote="")
    widths = Counter(len(row) for _, row in dialect.records(plain))
    return replace(dialect, comment=comment, width=max(widths, key=widths.__getitem__, default=0)), sample, is_whole


def is_separated(lines: Sequence[str]) -> bool:
    """Whether lines are cut into as many cells each, as those of a table are."""
    csv.field_size_limit(MAX_FIELD)
    filled = [line for line in lines if line.strip()]
    return len(filled) > 2 and max(_score(Dialect(delimiter), filled) for delimiter in DELIMITERS) > GOOD


def _delimiter(lines: Sequence[str]) -> str:
    """The one that cuts most lines into as many cells, none of which holds another separator."""
    scores = {delimiter: _score(Dialect(delimiter), lines) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    if scores[best] < GOOD and _score(Dialect(SPACE), lines) > max(scores[best], GOOD):
        return SPACE
    return best


def _score(dialect: Dialect, lines: Sequence[str]) -> float:
    rows = [row for _, row in dialect.records(lines)]
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0.0
    width, count = widths.most_common(1)[0]
    cells = [cell for row in rows if len(row) == width for cell in row]
    others = set(DELIMITERS) - {dialect.delimiter}
    clean = sum(others.isdisjoint(cell) or number(cell, ",") is not None for cell in cells)
    return count / len(rows) * clean / len(cells)


def _is_broken(dialect: Dialect, lines: Sequence[str]) -> bool:
    """Whether a quote that is never closed joins lines that are rows by themselves."""
    joined = sum(1 for _ in dialect.records(lines))
    widths = Counter(len(row) for _, row in replace(dialect, quote="").records(lines))
    return len(lines) > 2 and joined < BROKEN * len(lines) and max(widths.values(), default=0) > BROKEN * len(lines)


def _quote(lines: Sequence[str], delimiter: str) -> str:
    """The single quote where most lines have cells in it and none has double ones."""
    edge = re.escape(delimiter)
    quoted = re.compile(rf"(?:^|{edge})\s*'[^']*'\s*(?:{edge}|$)", re.MULTILINE)
    if any('"' in line for line in lines):
        return '"'
    return "'" if 2 * sum(quoted.search(line) is not None for line in lines) > len(lines) else '"'
