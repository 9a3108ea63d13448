"""Files that are not read: what each is, by its first bytes, and what to export instead."""

import re
import zipfile
from collections.abc import Callable

from worker.importing.raw_data import Input

AS_CSV = "export the table as CSV, Parquet or Excel (.xlsx)"
AS_NPZ = "save its arrays as npz: `np.savez('data.npz', X=X, y=y)`"
PICKLE = "a Python pickle, which is never opened"
AS_ZIP = "pack its files as zip or tar.gz"
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.xls), or a workbook with a password", AS_CSV),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", AS_NPZ),
    (b"MATLAB ", "a MATLAB file", AS_NPZ),
    (b"\x93NUMPY", "a single NumPy array, without labels", AS_NPZ),
    (b"SQLite format 3\0", "a SQLite database", AS_CSV),
    (b"$FL2", "an SPSS file (.sav)", AS_CSV),
    (b"$FL3", "an SPSS file (.zsav)", AS_CSV),
    (b"<stata_dta>", "a Stata file (.dta)", AS_CSV),
    (b"\0" * 12 + b"\xc2\xea\x81`", "a SAS file (.sas7bdat)", AS_CSV),
    (b"RDX", "an R data file", AS_CSV),
    (b"Obj\x01", "an Avro file", AS_CSV),
    (b"ORC", "an ORC file", AS_CSV),
    (b"FEA1", "a Feather file of version 1", AS_CSV),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", AS_ZIP),
    (b"Rar!\x1a\x07", "a RAR archive", AS_ZIP),
    (b"\x28\xb5\x2f\xfd", "a file packed by Zstandard", AS_ZIP),
    (b"\x04\x22\x4d\x18", "a file packed by LZ4", AS_ZIP),
    (b"%PDF-", "a PDF document", AS_CSV),
    (b"\x1a\x45\xdf\xa3", "a video", "save single pictures, in a folder for each class"),
    (b"\x80\x02", PICKLE, AS_NPZ),
    (b"\x80\x03", PICKLE, AS_NPZ),
    (b"\x80\x04", PICKLE, AS_NPZ),
    (b"\x80\x05", PICKLE, AS_NPZ),
    (b"\xff\xd8\xff", "a single picture", "upload many, in a folder for each class, as zip or tar.gz"),
    (b"\x89PNG", "a single picture", "upload many, in a folder for each class, as zip or tar.gz"),
    (b"GIF8", "a single picture", "upload many, in a folder for each class, as zip or tar.gz"),
)
TEXTS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\s*(?:%.*\s+)*@relation\b", re.IGNORECASE), "an ARFF file of Weka", AS_CSV),
    (
        re.compile(rb"\s*[-+\d.]+(?: +\d+:[-+\d.eE]+){2}"),
        "a file in the form of LIBSVM (`label index:value ...`)",
        AS_CSV,
    ),
    (re.compile(rb"\s*(?:<\?xml|<!doctype html|<html)", re.IGNORECASE), "an XML or HTML document, no data", AS_CSV),
    (re.compile(rb'\s*\{\s*"(?:cells|nbformat|metadata)"\s*:', re.IGNORECASE), "a notebook", AS_CSV),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS, not the file itself", "run `git lfs pull` first"),
)
ZIPS: tuple[tuple[Callable[[str], bool], str, str], ...] = (
    (lambda name: name.endswith("data.pkl"), "weights or tensors of PyTorch (.pt)", AS_NPZ),
    (lambda name: name == "word/document.xml", "a Word document", AS_CSV),
    (lambda name: name == "ppt/presentation.xml", "a presentation", AS_CSV),
    (lambda name: name == "xl/workbook.bin", "a binary Excel workbook (.xlsb)", AS_CSV),
    (lambda name: name == "content.xml", "an OpenDocument file (.ods)", AS_CSV),
    (lambda name: name == "config.json" or name.endswith("model.weights.h5"), "a Keras model", AS_NPZ),
)
SUFFIXES = {
    ".xls": ("an old Excel workbook", AS_CSV), ".sav": ("an SPSS file", AS_CSV), ".dta": ("a Stata file", AS_CSV),
    ".sas7bdat": ("a SAS file", AS_CSV), ".rds": ("an R data file", AS_CSV), ".rdata": ("an R data file", AS_CSV),
    ".pkl": (PICKLE, AS_NPZ), ".mat": ("a MATLAB file", AS_NPZ),
    ".pickle": (PICKLE, AS_NPZ), ".tfrecord": ("a file of TensorFlow's records", AS_NPZ),
    ".tfrecords": ("a file of TensorFlow's records", AS_NPZ), ".joblib": (PICKLE, AS_NPZ),
    ".arff": ("an ARFF file of Weka", AS_CSV), ".lmdb": ("an LMDB database", AS_NPZ), ".mdb": ("a database", AS_CSV),
    ".accdb": ("an Access database", AS_CSV), ".hdf": ("an HDF file", AS_NPZ), ".mp4": ("a video", AS_ZIP),
}  # fmt: skip


def other_format(file: Input) -> str | None:
    """What a file is that is not read, and what to do; None for what may be read."""
    head = file.head()
    for magic, what, advice in MAGIC:
        if head.startswith(magic):
            return f"`{file.name}` is {what}: {advice}"
    for pattern, what, advice in TEXTS:
        if pattern.match(head):
            return f"`{file.name}` is {what}: {advice}"
    if head.startswith(b"PK\3\4"):
        return _other_zip(file)
    return None


def by_suffix(name: str) -> str | None:
    """The same by the name alone, for a file that nothing reads."""
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    return f"`{name}` is {SUFFIXES[suffix][0]}: {SUFFIXES[suffix][1]}" if suffix is not None else None


def _other_zip(file: Input) -> str | None:
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()[:1000]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return None
    for concerns, what, advice in ZIPS:
        if any(map(concerns, names)):
            return f"`{file.name}` is {what}: {advice}"
    return None
