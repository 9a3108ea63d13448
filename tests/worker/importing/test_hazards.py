"""Hostile and damaged files over the HTTP API: each is imported, or refused for what it is; nothing else happens."""

import bz2
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.archives.test_tar_archive import TARS
from tests.worker.importing.archives.test_zip_archive import ZIPS
from tests.worker.importing.imports import FILES, write_tar, write_zip
from tests.worker.importing.service import ImportService
from tests.worker.importing.test_fuzz import ARCHIVES, CSV, NPZ, PICTURE, damaged, edits

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
NAMED = ("traversal", "absolute", "link", "link out", "hard link out", "device", "bomb", "case", "too many", "nested")
"""The hazards of every archive; what else makes one is shown where archives are listed."""


def attempt(importer: ImportService, filename: str, content: bytes, **options: Any) -> str:
    """`ready`, or the code of the refusal; anything else, a fault of the service's own, fails the test."""
    dataset = importer.upload(filename, content, **options)
    if dataset["state"] == "ready":
        assert importer.profile(dataset)["meta"]["counts"]
        return "ready"
    error = dataset["error"]
    assert error["status"] == 422, error
    assert error["type"] == f"urn:trainwright:problem:{error['code']}"
    code: str = error["code"]
    return code


def refusal(importer: ImportService, filename: str, content: bytes) -> str:
    """The code of the refusal of an upload, of which only itself is left; what was imported lies with the artifacts."""
    home = importer.server.store.settings.home
    before = written(home)
    code = attempt(importer, filename, content)
    new = written(home) - before
    assert {path.relative_to(home).parts[:2] for path in new} == {
        ("artifacts", "datasets" if code == "ready" else "uploads")
    }
    assert code == "ready" or [path.read_bytes() for path in new] == [content]
    assert not [found for place in (home.parent, Path("/etc"), Path("/")) for found in place.glob("evil*")]
    return code


def written(home: Path) -> set[Path]:
    """Every file of a service but its database."""
    return {path for path in home.rglob("*") if path.is_file() and not path.name.startswith("trainwright.db")}


@pytest.mark.parametrize(
    ("code", "make"), [pytest.param(code, make, id=name) for name, code, make in ZIPS if name in NAMED]
)
def test_a_zip_with_a_hazard_is_refused_by_its_code(
    importer: ImportService, tmp_path: Path, code: str, make: Callable[[Path], Path] | dict[str, bytes]
) -> None:
    path = tmp_path / "a.zip"
    if callable(make):
        make(path)
    else:
        write_zip(path, make)
    assert refusal(importer, "a.zip", path.read_bytes()) == code


@pytest.mark.parametrize(
    ("code", "member"), [pytest.param(code, member, id=name) for name, code, member in TARS if name in NAMED]
)
def test_a_tar_with_a_hazard_is_refused_by_its_code(
    importer: ImportService, tmp_path: Path, code: str, member: tarfile.TarInfo
) -> None:
    path = write_tar(tmp_path / "a.tar.gz", FILES, member)
    assert refusal(importer, "a.tar.gz", path.read_bytes()) == code


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def wide_png() -> bytes:
    """A picture that says it has 60,000 x 60,000 pixels."""
    data = bytearray(encoded(picture(1)))
    data[16:24] = (60_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4)
    return bytes(data)


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "an empty file": ("a.zip", b"", "format-unknown"),
    "an empty zip": ("a.zip", zipped({}), "layout-no-classes"),
    "text": ("a.zip", b"hello", "format-unknown"),
    "a table of nothing": ("a.csv", b"\0" * 1000, "csv-empty"),
    "a line without end": ("a.csv", b"a,y\n" + b"1" * 2**18, "csv-malformed"),
    "a bomb of a table": ("a.csv.gz", gzip.compress(b"a,y\n" + b"0" * 2**25, 1), "csv-too-large"),
    "a bomb in a bomb": ("a.tar.bz2", bz2.compress(bytes(2**25)), "archive-bomb"),
    "a picture that lies": ("a.zip", zipped(FILES | {"cats/wide.png": wide_png()}), "corrupt-files"),
    "no pictures at all": ("a.zip", zipped({f"{n % 2}/{n}.png": b"\0" * n for n in range(9)}), "corrupt-files"),
}


@pytest.mark.parametrize(
    ("filename", "content", "code"), [pytest.param(*case, id=name) for name, case in HOSTILE.items()]
)
def test_hostile_files_are_refused_for_what_they_are(
    importer: ImportService, filename: str, content: bytes, code: str
) -> None:
    assert refusal(importer, filename, content) == code


class Trap:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_are_not_opened(importer: ImportService, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, X=np.array([Trap(tmp_path / "mark")] * 9, object), y=np.arange(9) % 2)
    assert refusal(importer, "a.npz", buffer.getvalue()) == "npz-pickle"
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("filename", ["../../evil.csv", "/etc/evil.csv", "😀.csv"])
def test_names_of_uploads_name_nothing_on_the_disk(importer: ImportService, filename: str) -> None:
    assert refusal(importer, filename, CSV) == "ready"


@FEW
@given(st.sampled_from(sorted(ARCHIVES)), edits, st.integers(0, 10**6))
def test_damaged_archives_are_imported_or_refused(
    importer: ImportService, name: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    attempt(importer, name, damaged(ARCHIVES[name], changes, cut), drop_corrupt=True)


@FEW
@given(st.sampled_from([("a.npz", NPZ), ("a.csv", CSV)]), edits, st.integers(0, 10**6))
def test_damaged_numbers_are_imported_or_refused(
    importer: ImportService, file: tuple[str, bytes], changes: list[tuple[int, bytes]], cut: int
) -> None:
    attempt(importer, file[0], damaged(file[1], changes, cut), drop_corrupt=True)


@FEW
@given(st.lists(st.tuples(edits, st.integers(0, 10**6)), min_size=12, max_size=12))
def test_damaged_pictures_are_imported_or_refused(
    importer: ImportService, damages: list[tuple[list[tuple[int, bytes]], int]]
) -> None:
    files = {f"{n % 2}/{n}.jpg": damaged(PICTURE, *damage) for n, damage in enumerate(damages)}
    attempt(importer, "a.zip", zipped(files), drop_corrupt=True)


@FEW
@given(st.binary(max_size=300), st.sampled_from(["a.zip", "a.npz", "a.csv", "a.tar.gz", "a"]))
def test_any_bytes_are_imported_or_refused(importer: ImportService, data: bytes, name: str) -> None:
    attempt(importer, name, data)
