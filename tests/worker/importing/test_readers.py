"""Readers: files and folders are known by what they are, whatever their names."""

from pathlib import Path

import pytest

from tests.worker.importing.imports import (
    FILES,
    import_path,
    refusal,
    run_import,
    write_tar,
    write_zip,
)


def test_folder_zip_and_tar_of_the_same_pictures_are_the_same_dataset(tmp_path: Path, tree: Path) -> None:
    paths = [tree, write_zip(tmp_path / "a.zip", FILES)]
    paths += [write_tar(tmp_path / f"a.tar{suffix}", FILES) for suffix in ("", ".gz", ".bz2", ".xz")]
    imported = [import_path(path) for path in paths]
    assert len({dataset.hash for dataset in imported}) == 1
    assert imported[0].profile.meta.classes == ["cats", "dogs"]
    assert imported[0].profile.meta.shape == [40, 40, 3]
    assert imported[0].dataset.x.shape == (12, 40, 40, 3)


def test_an_upload_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "blob", FILES)
    source = {"kind": "upload", "filename": "photos.rar", "artifact": "uploads/1"}
    assert run_import(tmp_path / "scratch", source, upload=path).dataset.x.shape[0] == 12


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x1f\x8b\x08", b"hello", bytes(1024)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert refusal(path) in ("archive-malformed", "format-unknown", "layout-no-classes")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    for path in (write_zip(tmp_path / "a.zip", FILES), write_tar(tmp_path / "a.tar.gz", FILES)):
        path.write_bytes(path.read_bytes()[:-2000])
        assert refusal(path) == "archive-malformed"
