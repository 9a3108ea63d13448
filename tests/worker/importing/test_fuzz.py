"""Files that nobody would make on purpose: an import refuses them with a code of its own, whatever they hold."""

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import ImportRefusedError
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import run_import, two_classes, write_tar, write_zip
from worker.importing.archives.tar_archive import list_tar
from worker.importing.archives.zip_archive import list_zip
from worker.importing.arrays.idx import read_idx

T = TypeVar("T")
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(FUZZ, max_examples=8)


def _archives() -> dict[str, bytes]:
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.zip", "a.tar", "a.tar.gz"):
            path = Path(folder, name)
            files = {name: data[:200] for name, data in two_classes(4).items()}
            made[name] = (write_zip if name == "a.zip" else write_tar)(path, files).read_bytes()
    return made


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


ARCHIVES = _archives()
NPZ = _npz(X=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
CSV = b"a,b,label\n" + b"".join(b"%d,x%d,%d\n" % (n, n % 3, n % 2) for n in range(20))
PICTURE = encoded(picture(1), "JPEG")
edits = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), max_size=6)


def damaged(data: bytes, changes: list[tuple[int, bytes]], cut: int) -> bytes:
    """The data with some bytes overwritten, and perhaps cut off."""
    out = bytearray(data)
    for place, piece in changes:
        at = place % len(out)
        out[at : at + len(piece)] = piece
    return bytes(out[: cut % (2 * len(out)) + 1])


def survive(data: bytes, name: str, **options: Any) -> None:
    """Imports the bytes as an upload; nothing but a refusal may come of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "upload")
        path.write_bytes(data)
        source = {"kind": "upload", "filename": name, "artifact": "uploads/1", "options": options}
        result = outcome(lambda: run_import(Path(folder, "scratch"), source, upload=path))
        if isinstance(result, ImportRefusedError):
            assert result.reason
            assert result.problem().model_dump_json().encode()
        else:
            assert np.isfinite(np.asarray(result.dataset.x)).all()
            assert result.profile.model_dump_json().encode()


def outcome(action: Callable[[], T]) -> T | ImportRefusedError:
    """What an action returns, or the refusal that it raises."""
    try:
        return action()
    except ImportRefusedError as error:
        return error


@FUZZ
@given(st.sampled_from(sorted(ARCHIVES)), edits, st.integers(0, 10**6))
def test_damaged_archives_list_or_refuse(name: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(damaged(ARCHIVES[name], changes, cut))
        listing = outcome(lambda: list_zip(path) if name == "a.zip" else list_tar(path, Path(folder)))
        if isinstance(listing, ImportRefusedError):
            assert listing.reason.startswith("archive-")
        else:
            assert not any(".." in member.split("/") or member.startswith("/") for member in listing.members)


@FEW
@given(st.sampled_from(sorted(ARCHIVES)), edits, st.integers(0, 10**6))
def test_damaged_archives_of_pictures_never_stop_a_worker(
    name: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    survive(damaged(ARCHIVES[name], changes, cut), name, drop_corrupt=True)


@FEW
@given(st.lists(st.tuples(edits, st.integers(0, 10**6)), min_size=20, max_size=20))
def test_damaged_pictures_are_read_or_named(damages: list[tuple[list[tuple[int, bytes]], int]]) -> None:
    files = {f"{n % 2}/{n}.jpg": damaged(PICTURE, *damage) for n, damage in enumerate(damages)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    survive(buffer.getvalue(), "a.zip", drop_corrupt=True)


@FUZZ
@given(edits, st.integers(0, 10**6))
def test_damaged_arrays_are_refused_or_read(changes: list[tuple[int, bytes]], cut: int) -> None:
    survive(damaged(NPZ, changes, cut), "a.npz")


@FUZZ
@given(st.sampled_from(["X.npy", "y.npy"]), edits, st.integers(0, 10**6))
def test_damaged_members_are_refused_or_read(name: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    """In an archive that is sound: its checksums do not give the damage away."""
    with zipfile.ZipFile(io.BytesIO(NPZ)) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, damaged(data, changes, cut) if member == name else data)
    survive(buffer.getvalue(), "a.npz")


shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple)
dtypes = st.sampled_from(["u1", "i2", "i8", "f2", "f4", "f8", "c16", "b1", "U3", "S2", "M8[s]", "V4"])


@FUZZ
@given(shapes, dtypes, shapes, dtypes, st.integers(0, 99))
def test_arrays_of_any_shape_and_type_are_refused_or_read(
    x_shape: tuple[int, ...], x_type: str, y_shape: tuple[int, ...], y_type: str, seed: int
) -> None:
    def random(shape: tuple[int, ...], dtype: str) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(np.random.default_rng(seed).bytes(size), np.uint8).view(dtype).reshape(shape)

    survive(_npz(X=random(x_shape, x_type), y=random(y_shape, y_type)), "a.npz")


@FUZZ
@given(edits, st.integers(0, 10**6))
def test_damaged_tables_are_refused_or_read(changes: list[tuple[int, bytes]], cut: int) -> None:
    survive(damaged(CSV, changes, cut), "a.csv", drop_corrupt=True)


cells = (
    st.text(st.characters(codec="utf-8"), max_size=8) | st.floats().map(str) | st.sampled_from(["", "NA", "1e999", "0"])
)


@FUZZ
@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=12), st.sampled_from(",;\t"))
def test_tables_of_any_text_are_refused_or_read(rows: list[list[str]], delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in [["a", "b", "y"], *rows])
    survive(text.encode(), "a.csv", drop_corrupt=True)


@FUZZ
@given(st.binary(max_size=300), st.sampled_from(["a.zip", "a.npz", "a.csv", "a.tar.gz", "a"]))
def test_any_bytes_are_refused_or_read(data: bytes, name: str) -> None:
    survive(data, name)
    survive(b"PK\3\4" + data, name)
    survive(b"\x1f\x8b\x08" + data, name)


@FUZZ
@given(st.binary(max_size=100), st.sampled_from(["a", "a.gz"]), st.integers(1, 3))
def test_any_bytes_as_idx_are_refused_or_read(data: bytes, name: str, dimensions: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(bytes([0, 0, 8, dimensions]) + data)
        result = outcome(lambda: read_idx(path, dimensions))
        assert result.reason == "idx-malformed" if isinstance(result, ImportRefusedError) else result.ndim == dimensions
