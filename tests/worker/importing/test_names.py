"""Names that came from outside: nothing in them breaks a store, a terminal or a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.importing.names import distinct, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("犬/Kätzchen 1.png", "犬/Kätzchen 1.png"),
        ("a\tb\n", "a\\tb\\n"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_what_cannot_be_printed_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters(exclude_categories=())).map(lambda text: text.encode("utf-8", "replace").decode()))
def test_any_name_becomes_printable_once_and_for_all(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert printable(shown) == shown


def test_names_that_come_again_get_numbers() -> None:
    assert distinct(["crane", "dog", "crane", "crane"], "{name} ({number})") == [
        "crane",
        "dog",
        "crane (2)",
        "crane (3)",
    ]
    assert distinct(["{x}", "{x}"], "{name}.{number}") == ["{x}", "{x}.2"]
