"""Files that are not read are named for what they are, with what to export instead."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.imports import import_path


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 4)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said", "advice"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Office file", "CSV"),
        ("a.csv", b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5", "npz"),
        ("m.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "MATLAB", "npz"),
        ("X.npy", array(), "single NumPy array", "npz"),
        ("a.db", b"SQLite format 3\0" + bytes(100), "SQLite", "CSV"),
        ("a.sav", b"$FL2@(#) SPSS", "SPSS", "CSV"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(60), "7z archive", "zip"),
        ("a.rar", b"Rar!\x1a\x07\x01\x00" + bytes(60), "RAR archive", "zip"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(60), "Zstandard", "zip"),
        ("a.pkl", b"\x80\x04\x95", "pickle, which is never opened", "npz"),
        ("w.arff", b"@relation r\n@attribute a numeric\n@data\n1\n", "ARFF", "CSV"),
        ("a.txt", b"1 1:0.5 2:0.3\n0 1:0.1 2:0.9\n" * 20, "LIBSVM", "CSV"),
        ("a.html", b"<!DOCTYPE html><html>", "HTML", "CSV"),
        ("model.pt", zipped("data/data.pkl", "data/0"), "PyTorch", "npz"),
        ("a.ods", zipped("content.xml", "meta.xml"), "OpenDocument", "CSV"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(60), "single picture", "folder for each class"),
        ("a.tfrecord", bytes(64), "TensorFlow", "npz"),
    ],
)
def test_other_kinds_are_named_with_their_cure(tmp_path: Path, name: str, data: bytes, said: str, advice: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImportRefusedError, match=said) as caught:
        import_path(tmp_path / name)
    assert caught.value.reason == "format-unknown"
    assert advice in caught.value.detail


def test_text_under_the_name_of_a_workbook_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{at}.5\t{at * 7 % 11}\t{'xy'[at % 2]}\n" for at in range(40))
    (tmp_path / "export.xls").write_text("a\tb\tlabel\n" + rows)
    assert len(import_path(tmp_path / "export.xls").dataset.y) == 40
