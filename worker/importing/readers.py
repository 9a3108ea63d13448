"""Which source is read how: by its kind, and files by what they are, not by what they are called."""

from collections.abc import Generator
from pathlib import Path
from typing import assert_never

from service.errors import ImportRefusedError
from service.events import Event
from service.specs.dataset import (
    BuiltinSource,
    DatasetSource,
    ImportOptions,
    PathSource,
    TorchvisionSource,
    UploadSource,
)  # fmt: skip
from worker.engine.context import RunContext, refusal
from worker.importing.archives.folder import list_folder
from worker.importing.archives.listing import Listing
from worker.importing.archives.tar_archive import is_tar, list_tar
from worker.importing.archives.zip_archive import list_zip
from worker.importing.arrays.idx import CLASSES, find_folder, has_idx, load_idx
from worker.importing.arrays.npz import is_npz, load_npz
from worker.importing.images.layout import arrange
from worker.importing.images.pictures import load_pictures
from worker.importing.known.builtin import load_digits
from worker.importing.raw_data import RawData
from worker.importing.tables.table import load_csv

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt", ".tab")
Reading = Generator[Event, None, RawData]


def read_source(source: DatasetSource, context: RunContext) -> Reading:
    """Raw data of any source."""
    match source:
        case BuiltinSource():
            return load_digits()
        case TorchvisionSource():
            return (yield from _read_known(source, context))
        case PathSource():
            path = allowed(Path(source.path), context)
            if path.is_dir():
                return (yield from _read_folder(path, source.options, context))
            return (yield from _read_file(path, path.name, source.options, context))
        case UploadSource():
            if context.upload is None:
                raise ImportRefusedError("upload-missing", "the uploaded file is not there any more")
            return (yield from _read_file(context.upload, source.filename, source.options, context))
        case _:
            assert_never(source)


def allowed(path: Path, context: RunContext) -> Path:
    """The resolved path; ImportRefusedError unless it exists and lies under a data root."""
    if "\0" in str(path):
        raise ImportRefusedError("path-not-allowed", "a path has no NUL")
    try:
        resolved, why = path.resolve(), refusal(path, context.data_roots)
    except (OSError, RuntimeError) as error:
        raise ImportRefusedError("path-not-allowed", f"{path} cannot be followed") from error
    if why is not None:
        raise ImportRefusedError("path-not-allowed", why)
    if not resolved.is_dir() and not resolved.is_file():
        raise ImportRefusedError("files-not-found", f"{path} is no file and no folder")
    return resolved


def _read_known(source: TorchvisionSource, context: RunContext) -> Reading:
    roots = [allowed(Path(source.path), context)] if source.path else list(context.data_roots)
    if source.name in CLASSES and (folder := find_folder(source.name, roots)) is not None:
        return load_idx(folder, CLASSES[source.name])
    from worker.importing.known.loading import load_named  # torchvision costs a second: only who asks pays

    return (yield from load_named(source, roots, context))


def _read_folder(folder: Path, options: ImportOptions, context: RunContext) -> Reading:
    if has_idx(folder):
        return load_idx(folder)
    return (yield from _read_pictures(list_folder(folder, context.data_roots), options, context))


def _read_file(path: Path, name: str, options: ImportOptions, context: RunContext) -> Reading:
    """A file by what it begins with; a table by its name, since any text may be one."""
    context.scratch.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        if is_npz(path, name):
            return load_npz(path, context.scratch)
        return (yield from _read_pictures(list_zip(path), options, context))
    if name.lower().endswith(TABLES):
        return (yield from load_csv(path, options.label_column, context.scratch))
    if is_tar(head):
        return (yield from _read_pictures(list_tar(path, context.scratch), options, context))
    raise ImportRefusedError(
        "format-unknown", f"`{name}` is none of: zip, tar, tar.gz, npz, CSV" + (" (it is empty)" if not head else "")
    )


def _read_pictures(listing: Listing, options: ImportOptions, context: RunContext) -> Reading:
    found = arrange(listing)
    raw = yield from load_pictures(found, options, context)
    raw.corrupt, raw.ignored = [*listing.corrupt, *raw.corrupt], listing.ignored
    return raw
