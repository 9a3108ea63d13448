"""Zip archives: every usual one is read, every hazard has a code of its own, nothing is written outside."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import (
    FILES,
    import_path,
    refusal,
    write_tar,
    write_zip,
)


def zip_link(path: Path) -> Path:
    with zipfile.ZipFile(write_zip(path, FILES), "a") as archive:
        info = zipfile.ZipInfo("cats/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path


def zip_device(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("cats/device.png")
        info.external_attr = (stat.S_IFCHR | 0o666) << 16
        archive.writestr(info, b"")
    return path


def zip_encrypted(path: Path) -> Path:
    data = bytearray(write_zip(path, FILES).read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    return path


def zip_overlapping(path: Path) -> Path:
    """Two names for the bytes of one: the trick of bombs that no ratio shows."""
    write_zip(path, {"cats/1.png": b"x" * 100, "dogs/2.png": b"x" * 100})
    data = bytearray(path.read_bytes())
    second = data.find(b"PK\1\2", data.find(b"PK\1\2") + 1)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    path.write_bytes(data)
    return path


def zip_many(path: Path) -> Path:
    """300,000 entries, in the directory at least: that is as far as the import shall look."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    directory = b"".join(entry + b"c/%06d" % number for number in range(300_000))
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 300_000, 300_000, len(directory), 4)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory) + 4, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(b"PK\3\4" + directory + record + locator + end)
    return path


def zip_nul(path: Path) -> Path:
    path.write_bytes(write_zip(path, {"cats/1_evil.png": b"x"}).read_bytes().replace(b"1_evil", b"1\0evil"))
    return path


ZIPS: list[tuple[str, str, Callable[[Path], Path] | dict[str, bytes]]] = [
    ("traversal", "archive-traversal", {"../evil.png": b"x"}),
    ("inner traversal", "archive-traversal", {"cats/../../evil.png": b"x"}),
    ("traversal by backslash", "archive-traversal", {"..\\evil.png": b"x"}),
    ("absolute", "archive-absolute-path", {"/etc/evil.png": b"x"}),
    ("drive", "archive-absolute-path", {"C:\\evil.png": b"x"}),
    ("case", "archive-case-collision", {"cats/A.png": b"x", "cats/a.png": b"x"}),
    ("case of folders", "archive-case-collision", {"Cats/a.png": b"x", "cats/a.png": b"x"}),
    ("nested", "archive-nested", {"cats/inner.zip": b"PK"}),
    ("nested tar", "archive-nested", {"cats/inner.tar.gz": b"PK"}),
    ("long name", "archive-path-too-long", {"cats/" + "a" * 256 + ".png": b"x"}),
    ("bomb", "archive-bomb", {"cats/a.bmp": bytes(12 * 2**20)}),
    ("link", "archive-link", zip_link),
    ("device", "archive-device", zip_device),
    ("encrypted", "archive-encrypted", zip_encrypted),
    ("overlapping", "archive-bomb", zip_overlapping),
    ("too many", "archive-too-many-entries", zip_many),
    ("NUL", "archive-bad-name", zip_nul),
]


@pytest.mark.parametrize(("code", "make"), [pytest.param(code, make, id=name) for name, code, make in ZIPS])
def test_a_zip_with_a_hazard_is_refused(
    tmp_path: Path, code: str, make: Callable[[Path], Path] | dict[str, bytes]
) -> None:
    path = tmp_path / "home" / "a.zip"
    path.parent.mkdir()
    make(path) if callable(make) else write_zip(path, make)
    assert refusal(path) == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_names_that_are_not_ascii_are_kept(tmp_path: Path) -> None:
    files = {f"{'Kätzchen' if n % 2 else '犬'}/пример {n} ß.png": encoded(picture(n)) for n in range(6)}
    for path in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tar.gz", files)):
        assert import_path(path).profile.meta.classes == ["Kätzchen", "犬"]
    plain = (tmp_path / "a.zip").read_bytes()
    unmarked = tmp_path / "unmarked.zip"  # UTF-8 without the flag that says so, as macOS writes it
    unmarked.write_bytes(_without_utf8_flags(plain))
    assert import_path(unmarked).profile.meta.classes == ["Kätzchen", "犬"]


def zip_of_raw_names(path: Path, names: Sequence[tuple[bytes, str | None]]) -> Path:
    """Pictures under names of these bytes, without the UTF-8 flag, some with Info-ZIP's Unicode path."""
    out, directory = b"", b""
    for number, (name, meant) in enumerate(names):
        data, extra = encoded(picture(number)), b""
        if meant is not None:
            field = struct.pack("<BL", 1, zlib.crc32(name)) + meant.encode()
            extra = struct.pack("<HH", 0x5455, 1) + b"x" + struct.pack("<HH", 0x7075, len(field)) + field
        sizes = (zlib.crc32(data), len(data), len(data), len(name), len(extra))
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *sizes, 0, 0, 0, 0, len(out))
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, *sizes) + name + extra + data
        directory += entry + name + extra
    path.write_bytes(
        out + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(names), len(names), len(directory), len(out), 0)
    )
    return path


@pytest.mark.parametrize("encoding", ["cp866", "cp1251", "utf-8"])
def test_the_unicode_path_of_an_entry_is_its_name(tmp_path: Path, encoding: str) -> None:
    meant = [f"{('кошка', 'собака')[n % 2]}/{n}.png" for n in range(8)]
    path = zip_of_raw_names(tmp_path / "a.zip", [(name.encode(encoding), name) for name in meant])
    assert import_path(path).profile.meta.classes == ["кошка", "собака"]


def test_names_of_an_unknown_encoding_keep_classes_apart_and_are_read_alike(tmp_path: Path) -> None:
    names = [f"{('猫', '狗')[n % 2]}\\{n}.png".encode("gbk") for n in range(8)]  # the first alone would be UTF-8
    imported = import_path(zip_of_raw_names(tmp_path / "a.zip", [(name, None) for name in names]))
    told = imported.finding("layout")
    assert told is not None
    assert "encoding" in told.explanation
    assert imported.profile.meta.classes == sorted(name.encode("gbk").decode("cp437") for name in ("猫", "狗"))


def test_a_letter_whose_second_byte_is_a_backslash_is_one_letter(tmp_path: Path) -> None:
    names = [(f"{('ソース', 'ソフト')[n % 2]}/{n}.png".encode("shift_jis"), None) for n in range(8)]
    assert len(import_path(zip_of_raw_names(tmp_path / "a.zip", names)).profile.meta.classes) == 2


def test_a_picture_that_is_not_what_the_archive_promised_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("cats/001.png")
    middle = info.header_offset + 30 + len("cats/001.png") + info.compress_size // 2
    data[middle : middle + 4] = b"\0\1\2\3"
    path.write_bytes(data)
    assert list(import_path(path, drop_corrupt=True).reasons()) == ["cats/001.png"]


def _without_utf8_flags(data: bytes) -> bytes:
    out, stream = bytearray(data), io.BytesIO(data)
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            out[info.header_offset + 7] &= ~8
    at = out.find(b"PK\1\2")
    while at >= 0:
        out[at + 9] &= ~8
        at = out.find(b"PK\1\2", at + 4)
    return bytes(out)
