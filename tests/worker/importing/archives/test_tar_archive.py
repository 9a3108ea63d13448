"""Tar archives: every hazard has a code of its own, nothing is written outside."""

import gzip
import tarfile
from pathlib import Path

import pytest

from tests.worker.importing.imports import (
    FILES,
    link,
    refusal,
    write_tar,
)

TARS = [
    ("traversal", "archive-traversal", tarfile.TarInfo("../evil.png")),
    ("absolute", "archive-absolute-path", tarfile.TarInfo("/tmp/evil.png")),
    ("link out", "archive-link", link("cats/link.png", "../../etc/passwd")),
    ("absolute link", "archive-link", link("cats/link.png", "/etc/passwd")),
    ("dangling link", "archive-link", link("cats/link.png", "gone.png")),
    ("circle", "archive-link", link("cats/link.png", "link.png")),
    ("hard link out", "archive-link", link("cats/link.png", "../../etc/passwd", tarfile.LNKTYPE)),
    ("device", "archive-device", link("cats/null.png", "", tarfile.CHRTYPE)),
    ("pipe", "archive-device", link("cats/pipe.png", "", tarfile.FIFOTYPE)),
    ("nested", "archive-nested", tarfile.TarInfo("cats/inner.7z")),
    ("case", "archive-case-collision", tarfile.TarInfo("Cats/001.PNG")),
]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize(("code", "member"), [pytest.param(code, member, id=name) for name, code, member in TARS])
def test_a_tar_with_a_hazard_is_refused(tmp_path: Path, suffix: str, code: str, member: tarfile.TarInfo) -> None:
    path = tmp_path / "home" / f"a.{suffix}"
    path.parent.mkdir()
    write_tar(path, FILES, member)
    assert refusal(path) == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, tarfile.TarInfo("cats/001.png"))
    assert refusal(path) == "archive-duplicate"


def test_a_tar_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar.gz", {"cats/a.bmp": bytes(50 * 2**20)})
    assert refusal(path) == "archive-bomb"
    unpacked = next(tmp_path.rglob("unpacked.tar"))
    assert unpacked.stat().st_size < 12 * 2**20


def test_a_tar_of_too_many_entries_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("cats/000000.png").tobuf(tarfile.USTAR_FORMAT)
    before, after = member[:148], member[156:]
    names = (b"cats/%06d.png" % number for number in range(200_001))
    heads = ((name, sum(name) - sum(before[:15])) for name in names)
    base = sum(before) + 8 * 32 + sum(after)
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(name + before[15:] + b"%06o\0 " % (base + more) + after for name, more in heads)
        file.write(bytes(1024))
    assert refusal(path) == "archive-too-many-entries"


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("cats/sparse.png")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999"}
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    assert refusal(path) == "archive-sparse"
