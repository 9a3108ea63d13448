"""What a cell of a table holds: nothing, a number as people write it, a day, or several numbers."""

import re
from datetime import UTC, datetime

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "<na>", "#n/a"})
MISSING_NUMBERS = MISSING | {
    "-", "--", "---", "–", "—", ".", "..", "...", "*", "#na", "#n/a n/a", "n.a.", "n.a", "na.", "n / a", "n/d", "nd",
    "n/v", "k.a.", "nil", "nat", "-nan", "none.", "missing", "unknown", "undefined", "not available", "not applicable",
    "no data", "(null)", "[null]", "<null>", "(blank)", "\\n", "#div/0!", "#value!", "#ref!", "#name?", "#num!",
    "#null!", "#error!", "#getting_data", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "1.#inf", "-1.#inf",
}  # fmt: skip
"""What a column of numbers holds where it has no number; in a column of text some of these are words like others."""
SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "bn": 1e9, "Mio": 1e6, "Mrd": 1e9}
"""Suffixes that multiply, where a column has several of them."""
CURRENCY = (
    r"(?:[A-Z]{0,3}[$€£¥₹₽₩₺₪฿₫₦₴]|USD|EUR|GBP|CHF|JPY|INR|CNY|RMB|AUD|CAD|BRL|SEK|NOK|DKK|PLN|Rs\.?|kr\.?|zł|Kč)"
)
NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−])?\s*(?:{CURRENCY}|<=?|>=?|[≤≥~≈=]|ca\.)?\s*(?P<second>[-+−])?"
    r"(?P<digits>\d(?:[\d.,'’\s]*\d)?[.,]?(?:[eE][-+]?\d+)?|[.,]\d+)"
    r"\s*(?P<unit>[^\W\d_][^\d_()]{0,15}[23]?|[%‰°'\"″′€£¥₹₽₩₺$][^\d_()]{0,6}|-)?\s*(?P<close>\))?"
)
GROUPED = re.compile(r"[1-9]\d{0,2}(?:([,'’\s])\d{3}(?:\1\d{3})*|(?:,\d{2})+,\d{3})(?:\.\d+)?")
"""Thousands, or lakhs and crores, apart: `1,234.50`, `1 234.5`, `12,34,567`."""
PLAIN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
SWAPPED = str.maketrans(",.", ".,")
DAY = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})\S*)?(?: ?(?:Z|UTC))?)?")
GERMAN_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?")
SEVERAL = re.compile(r"[\[({]?\s*[-+]?\d[\d.eE+-]*(?:[\s,;|]+[-+]?\d[\d.eE+-]*){3,}\s*[])}]?")
PICTURE_NAME = re.compile(r"\.(?:jpe?g|jfif|png|gif|bmp|dib|tiff?|webp|avif|hei[cf]|p[gpbn]m|dcm|svg)$", re.IGNORECASE)
MAX_NUMBER = 60
"""Characters; a number is shorter."""
DAY_SECONDS = 86_400


def is_missing(text: str) -> bool:
    """Whether a stripped cell says that there is nothing."""
    return text.casefold() in MISSING


def plain_number(text: str) -> float | None:
    """A number as programs write it, with a decimal point; `1_0` is none, although Python takes it for ten."""
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def number(text: str, decimal: str) -> tuple[float, str] | None:
    """A number as people write it, and its unit: thousands apart, a currency before it, `(5)` for -5."""
    match = NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER else None
    if match is None or (match["open"] is None) != (match["close"] is None):
        return None
    digits = match["digits"] if decimal == "." else match["digits"].translate(SWAPPED)
    if GROUPED.fullmatch(digits):
        digits = re.sub(r"[,'’\s]", "", digits)
    elif not PLAIN.fullmatch(digits):
        return None
    unit = (match["unit"] or "").strip()
    signs = [match["sign"], match["second"], "-" if unit == "-" else None, "-" if match["open"] else None]
    is_negative = sum(sign in ("-", "−") for sign in signs) % 2 == 1
    return (-float(digits) if is_negative else float(digits)), "" if unit == "-" else unit


def day(text: str) -> float | None:
    """Days since 1970 of a date `2024-01-31`, `2024/1/31` or `31.1.2024`, with a time or without."""
    if match := DAY.fullmatch(text):
        year, month, date, *time = match.groups()
    elif match := GERMAN_DAY.fullmatch(text):
        date, month, year, *time = match.groups()
    else:
        return None
    hour, minute, second = (int(part or 0) for part in time)
    try:
        moment = datetime(int(year), int(month), int(date), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() / DAY_SECONDS


def several_numbers(text: str) -> list[float] | None:
    """The numbers of a cell such as `70 80 82` or `[0.1, 0.2, 0.3, 0.4]`."""
    if not SEVERAL.fullmatch(text):
        return None
    try:
        return [float(part) for part in re.split(r"[\s,;|]+", text.strip("[](){} \n"))]
    except ValueError:
        return None
