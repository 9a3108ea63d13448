"""Imports run as the worker runs them, and archives made for them."""

import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.errors import ImportRefusedError
from service.events import DatasetPacked, Event, FileSaved
from service.reports.dataset import Profile
from service.reports.finding import Finding
from service.specs.dataset import ImportSpec
from tests.service.pictures.drawings import encoded, picture
from worker.engine.context import RunContext
from worker.engine.data.packed import PackedDataset
from worker.importing.import_job import run_import as run_pipeline


@dataclass(frozen=True)
class Imported:
    """What an import left."""

    events: list[Event]
    dataset: PackedDataset
    profile: Profile
    hash: str

    def finding(self, name: str) -> Finding | None:
        """The finding of this name."""
        return next((finding for finding in self.profile.findings if finding.name == name), None)

    def reasons(self) -> dict[str, str]:
        """Reason by name of each file that was left out."""
        return {file["file"]: file["reason"] for file in self.profile.corrupt}


def run_import(
    scratch: Path, source: dict[str, Any], *roots: Path, upload: Path | None = None, downloads: Path | None = None
) -> Imported:
    """Runs the import of a source; raises what it raises."""
    scratch.mkdir(parents=True, exist_ok=True)
    spec = ImportSpec.model_validate({"kind": "import", "dataset": "d", "source": source})
    events = list(run_pipeline(spec, RunContext(scratch=scratch, data_roots=roots, upload=upload, downloads=downloads)))
    folder = next(event.path.parent for event in events if isinstance(event, FileSaved))
    content = next(event.content for event in events if isinstance(event, DatasetPacked))
    return Imported(events, PackedDataset.open(folder), content.profile, content.hash)


def import_path(path: Path, **options: Any) -> Imported:
    """Imports a file or folder by its path."""
    scratch = path.parent / f"scratch-{path.name}-{len(list(path.parent.iterdir()))}"
    return run_import(scratch, {"kind": "path", "path": str(path), "options": options}, path.parent)


def two_classes(count: int = 12) -> dict[str, bytes]:
    """Files of two classes in turns, each picture of its own."""
    return {f"{'cats' if n % 2 else 'dogs'}/{n:03d}.png": encoded(picture(n)) for n in range(count)}


FILES = two_classes()
"""A sound dataset of twelve pictures."""


def refusal(path: Path) -> str:
    """The code with which an import is refused."""
    with pytest.raises(ImportRefusedError) as caught:
        import_path(path)
    return caught.value.reason


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """The files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """The files as a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    """The files as a tar archive, compressed as its name says, with further members that have no content."""
    mode: Any = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in extra:
            archive.addfile(member)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A member that is a link (or a device)."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
