"""Layouts of pictures: folders are classes and splits; what is no sample is listed with the reason."""

from pathlib import Path

import pytest

from service.errors import ImportRefusedError
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import (
    FILES,
    import_path,
    write_zip,
)


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
    assert {file["file"] for file in imported.profile.ignored} == set(other)
    assert len(imported.dataset.y) == 12
    reasons = {file["file"]: file["reason"] for file in imported.profile.ignored}
    assert reasons["README.md"] == "not a picture"
    assert reasons["stray.png"] == "not in the folder of a class"


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
