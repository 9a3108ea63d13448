"""Encodings of tables, with marks and without; single bytes that are no text."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from tests.worker.importing.tables.csv_files import imported, refusal

NAMES = ("Côte d’Ivoire €", "Überland")


def text(names: tuple[str, str] = NAMES) -> str:
    return "a,b,label\n" + "".join(f"{at}.5,{at * 7 % 11},{names[at % 2]}\n" for at in range(60))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
)
def test_names_are_as_written_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    result = imported(tmp_path, text().encode(encoding))
    assert result.profile.meta.classes == list(NAMES)
    assert (result.finding("table_form") is not None) == (encoding == "cp1252")


def test_cyrillic_text_of_windows_is_recognised(tmp_path: Path) -> None:
    assert imported(tmp_path, text(("кошка", "собака")).encode("cp1251")).profile.meta.classes == ["кошка", "собака"]


def test_text_that_cannot_be_told_apart_is_refused_with_the_cure(tmp_path: Path) -> None:
    error = refusal(tmp_path, text(("小猫动物", "小狗动物")).encode("gb18030"))
    assert error.reason == "csv-encoding"
    assert "UTF-8" in error.detail


def test_a_single_bad_byte_spoils_its_row_and_no_other(tmp_path: Path) -> None:
    data = text().encode() + b"9.1,0.5,\xff\n"
    assert "line 62: its label holds bytes" in refusal(tmp_path, data).detail
    assert imported(tmp_path, data, drop_corrupt=True).profile.meta.classes == list(NAMES)
    feature = imported(tmp_path, data.replace(b"9.1,0.5,\xff", b"9\xff,0.5,\xc3\x9cberland"), "b.csv")
    assert len(feature.dataset.y) == 61
    odd = feature.finding("odd_cells")
    assert odd is not None
    assert odd.evidence["examples"] == ["a: `9\\xff` (1)"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_tables_read_the_same(tmp_path: Path, pack: type[bytes]) -> None:
    plain = imported(tmp_path, text())
    assert imported(tmp_path, pack(text().encode()), "b.csv").hash == plain.hash


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, bytes(range(256)) * 20).reason == "csv-malformed"
