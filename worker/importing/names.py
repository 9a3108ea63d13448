"""Names that came from outside (of files, classes, columns), as text that every store takes."""

from collections.abc import Iterable


def printable(name: str) -> str:
    """The name with escapes for bytes that are no UTF-8 and for control characters."""
    if name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def distinct(names: Iterable[str], numbered: str) -> list[str]:
    """The names, those that come again with numbers, as in `{name} ({number})`."""
    times: dict[str, int] = {}
    renamed = []
    for name in names:
        times[name] = number = times.get(name, 0) + 1
        renamed.append(name if number == 1 else numbered.format(name=name, number=number))
    return renamed
