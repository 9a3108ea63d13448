"""Which source is read how; and the list of readers: files and folders are known by what they are, not by their names.

A new format is one file with two functions, which recognise an input and read it, and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from service.errors import ImportRefusedError
from service.specs.dataset import BuiltinSource, DatasetSource, PathSource, TorchvisionSource, UploadSource
from service.volumes import root_refusal
from worker.engine.context import RunContext
from worker.importing.archives.folder import list_folder
from worker.importing.archives.listing import Listing
from worker.importing.archives.tar_archive import is_tar, list_tar
from worker.importing.archives.zip_archive import is_zip, list_zip
from worker.importing.arrays.idx import has_idx, load_idx
from worker.importing.arrays.npz import is_npz, load_npz
from worker.importing.images.pictures import load_listed
from worker.importing.known.builtin import IDX_CLASSES, find_idx_folder, load_digits
from worker.importing.other_formats import by_suffix, other_format
from worker.importing.raw_data import Input, RawData, Reading
from worker.importing.tables.formats import is_table
from worker.importing.tables.table import load_table
from worker.importing.tables.table_archive import holds_tables, load_tables


@dataclass(frozen=True)
class Reader:
    """A format, how it is recognised, and what reads it: at once, or with progress."""

    format: str
    recognises: Callable[[Input], bool]
    load: Callable[[Input], RawData | Reading]


FOLDER_READERS = (
    Reader("IDX", lambda folder: has_idx(folder.path), lambda folder: load_idx(folder.path)),
    Reader("files", lambda _: True, lambda folder: _load_files(list_folder(folder.path, folder.context), folder)),
)
FILE_READERS = (
    Reader("npz", is_npz, load_npz),
    Reader("CSV, Excel, Parquet, Arrow, JSON Lines", is_table, load_table),
    Reader("zip", is_zip, lambda file: _load_files(list_zip(file.path), file)),
    Reader("tar, tar.gz", is_tar, lambda file: _load_files(list_tar(file.path, file.context.scratch), file)),
)
"""The first that recognises an input reads it: npz files and workbooks are zip archives, and packed tables begin as
packed tars do."""


def read_source(source: DatasetSource, context: RunContext) -> Reading:
    """Raw data of any source."""
    match source:
        case BuiltinSource():
            return load_digits()
        case TorchvisionSource():
            return (yield from _read_known(source, context))
        case PathSource():
            path = allowed(Path(source.path), context)
            return (yield from _read(Input(path, path.name, source.options, context)))
        case UploadSource():
            if context.upload is None:
                raise ImportRefusedError("upload-missing", "the uploaded file is not there any more")
            return (yield from _read(Input(context.upload, source.filename, source.options, context)))
        case _:
            assert_never(source)


def _load_files(listing: Listing, source: Input) -> Reading:
    """Tables where an archive or folder holds these and no pictures."""
    return load_tables(listing, source) if holds_tables(listing) else load_listed(listing, source)


def allowed(path: Path, context: RunContext) -> Path:
    """The resolved path; ImportRefusedError unless it exists and lies under a data root."""
    if "\0" in str(path):
        raise ImportRefusedError("path-not-allowed", "a path has no NUL")
    try:
        resolved, why = path.resolve(), root_refusal(path, context.data_roots)
    except (OSError, RuntimeError) as error:
        raise ImportRefusedError("path-not-allowed", f"{path} cannot be followed") from error
    if why is not None:
        raise ImportRefusedError("path-not-allowed", why)
    if not resolved.is_dir() and not resolved.is_file():
        raise ImportRefusedError("files-not-found", f"{path} is no file and no folder")
    return resolved


def _read_known(source: TorchvisionSource, context: RunContext) -> Reading:
    roots = [allowed(Path(source.path), context)] if source.path else list(context.data_roots)
    if source.name in IDX_CLASSES and (folder := find_idx_folder(source.name, roots)) is not None:
        return load_idx(folder, IDX_CLASSES[source.name])
    from worker.importing.known.torchvision_sets import load_torchvision_set  # torchvision costs a second

    return (yield from load_torchvision_set(source, roots, context))


def _read(given: Input) -> Reading:
    given.context.scratch.mkdir(parents=True, exist_ok=True)
    readers = FOLDER_READERS if given.path.is_dir() else FILE_READERS
    if given.path.is_file() and (what := other_format(given)) is not None:
        raise ImportRefusedError("format-unknown", what)
    reader = next((reader for reader in readers if reader.recognises(given)), None)
    if reader is None:
        formats = ", ".join(reader.format for reader in readers)
        if (what := by_suffix(given.name)) is not None:
            raise ImportRefusedError("format-unknown", what)
        is_empty = " (it is empty)" if not given.head() else ""
        raise ImportRefusedError("format-unknown", f"`{given.name}` is none of: {formats}{is_empty}")
    loading = reader.load(given)
    return loading if isinstance(loading, RawData) else (yield from loading)
