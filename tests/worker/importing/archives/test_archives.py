"""Archives: every layout that is usual is read, every hazard has a code of its own, nothing is written outside."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ImportRefusedError
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import (
    import_path,
    link,
    run_import,
    two_classes,
    write_folder,
    write_tar,
    write_zip,
)

FILES = two_classes()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tree", FILES)


def test_folder_zip_and_tar_of_the_same_pictures_are_the_same_dataset(tmp_path: Path, tree: Path) -> None:
    paths = [tree, write_zip(tmp_path / "a.zip", FILES)]
    paths += [write_tar(tmp_path / f"a.tar{suffix}", FILES) for suffix in ("", ".gz", ".bz2", ".xz")]
    imported = [import_path(path) for path in paths]
    assert len({each.hash for each in imported}) == 1
    assert imported[0].profile.meta.classes == ["cats", "dogs"]
    assert imported[0].profile.meta.shape == [40, 40, 3]
    assert imported[0].dataset.x.shape == (12, 40, 40, 3)


def test_an_upload_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "blob", FILES)
    source = {"kind": "upload", "filename": "photos.rar", "artifact": "uploads/1"}
    assert run_import(tmp_path / "scratch", source, upload=path).dataset.x.shape[0] == 12


@pytest.mark.parametrize("prefix", ["", "top/", "top/inner/"])
@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "Testing"), ("train", "test")])
def test_given_splits_are_kept(tmp_path: Path, prefix: str, names: tuple[str, ...]) -> None:
    files = {f"{prefix}{split}/{name}": data for split in names for name, data in FILES.items()}
    imported = import_path(write_zip(tmp_path / "a.zip", files), split={"val": 0.25})
    counts = imported.profile.meta.counts
    assert counts["test"] == 12
    assert counts["train"] == (12 if len(names) == 3 else counts["train"])
    assert counts["train"] + counts["val"] == 12 * (len(names) - 1)


def test_one_folder_around_everything_is_looked_through(tmp_path: Path) -> None:
    files = {f"photos/{name}": data for name, data in FILES.items()}
    assert import_path(write_zip(tmp_path / "a.zip", files)).profile.meta.classes == ["cats", "dogs"]


def test_what_is_no_data_is_listed_with_the_reason(tmp_path: Path) -> None:
    other = {
        "__MACOSX/cats/._001.png": b"\0",
        "cats/.DS_Store": b"\0",
        "cats/Thumbs.db": b"\0",
        ".git/config": b"x",
        "README.md": b"hello",
        "stray.png": encoded(picture(99)),
    }
    imported = import_path(write_zip(tmp_path / "a.zip", FILES | other))
    assert {each["file"] for each in imported.profile.ignored} == set(other)
    assert len(imported.dataset.y) == 12
    reasons = {each["file"]: each["reason"] for each in imported.profile.ignored}
    assert reasons["README.md"] == "not a picture"
    assert reasons["stray.png"] == "not in the folder of a class"


def test_names_that_are_not_ascii_are_kept(tmp_path: Path) -> None:
    files = {f"{'Kätzchen' if n % 2 else '犬'}/пример {n} ß.png": encoded(picture(n)) for n in range(6)}
    for path in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tar.gz", files)):
        assert import_path(path).profile.meta.classes == ["Kätzchen", "犬"]
    plain = (tmp_path / "a.zip").read_bytes()
    unmarked = tmp_path / "unmarked.zip"  # UTF-8 without the flag that says so, as macOS writes it
    unmarked.write_bytes(_without_utf8_flags(plain))
    assert import_path(unmarked).profile.meta.classes == ["Kätzchen", "犬"]


def test_names_that_are_no_text_at_all_do_not_stop_an_import(tmp_path: Path, tree: Path) -> None:
    broken = os.fsencode(tree) + b"/cats/\xff\xfe.png"
    Path(os.fsdecode(broken)).write_bytes(b"")
    imported = import_path(tree, drop_corrupt=True)
    assert imported.reasons() == {"cats/\\xff\\xfe.png": "an empty file"}


def test_links_within_stand_for_their_files(tmp_path: Path, tree: Path) -> None:
    (tree / "dogs" / "linked.png").symlink_to("../cats/001.png")
    os.link(tree / "cats" / "003.png", tree / "cats" / "hard.png")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tree, "photos")
    from_folder, from_tar = import_path(tree), import_path(tmp_path / "a.tar.gz")
    assert from_folder.hash == from_tar.hash
    assert len(from_tar.dataset.y) == 14
    assert from_tar.profile.duplicates == {"exact": 4, "near": 4, "cross_split": 0, "contradicting": 2}


def test_links_of_a_folder_that_lead_out_of_the_data_roots_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree = write_folder(root / "tree", FILES)
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(picture(77)))
    (tree / "cats" / "out.png").symlink_to(secret)
    (tree / "cats" / "nowhere.png").symlink_to("gone.png")
    (tree / "cats" / "round.png").symlink_to("round.png")
    (tree / "birds").symlink_to(tree / "cats")
    os.mkfifo(tree / "dogs" / "pipe.png")
    source = {"kind": "path", "path": str(tree), "options": {"drop_corrupt": True}}
    imported = run_import(tmp_path / "scratch", source, root)
    assert len(imported.dataset.y) == 12
    assert imported.reasons() == {
        "birds": "a link to a folder is not followed",
        "cats/nowhere.png": "a link that leads nowhere",
        "cats/out.png": "a link that leads out of the data roots",
        "cats/round.png": "a link that leads nowhere",
        "dogs/pipe.png": "not a regular file",
    }


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
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home"]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, tarfile.TarInfo("cats/001.png"))
    assert refusal(path) == "archive-duplicate"


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
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home"]


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


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x1f\x8b\x08", b"hello", bytes(1024)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert refusal(path) in ("archive-malformed", "format-unknown", "layout-no-classes")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    for path in (write_zip(tmp_path / "a.zip", FILES), write_tar(tmp_path / "a.tar.gz", FILES)):
        path.write_bytes(path.read_bytes()[:-2000])
        assert refusal(path) == "archive-malformed"


def test_a_picture_that_is_not_what_the_archive_promised_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("cats/001.png")
    middle = info.header_offset + 30 + len("cats/001.png") + info.compress_size // 2
    data[middle : middle + 4] = b"\0\1\2\3"
    path.write_bytes(data)
    assert list(import_path(path, drop_corrupt=True).reasons()) == ["cats/001.png"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme.txt": b"x"}, "no pictures were found"),
        ({"1.png": b"x", "2.png": b"x"}, "none in the folder of a class"),
        ({"cats/1.png": b"x", "cats/2.png": b"x"}, "all pictures are of one class"),
    ],
)
def test_a_layout_without_classes_is_explained(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(ImportRefusedError, match=words) as caught:
        import_path(write_zip(tmp_path / "a.zip", files))
    assert caught.value.reason == "layout-no-classes"


def refusal(path: Path) -> str:
    """The code with which an import is refused."""
    with pytest.raises(ImportRefusedError) as caught:
        import_path(path)
    return caught.value.reason


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
