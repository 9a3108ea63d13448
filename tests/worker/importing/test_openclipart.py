"""Debian's `openclipart-png` as it is: 8,121 PNGs in 22 folders, with links, copies, and pictures of 600 megapixels."""

import hashlib
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from service.events import Reported
from service.reports.result import TrainResult
from service.specs import JOB_SPEC
from tests.worker.importing.imports import Imported, run_import
from worker.engine import run
from worker.engine.context import RunContext

OPENCLIPART = Path("/usr/share/openclipart/png")
pytestmark = pytest.mark.skipif(not OPENCLIPART.is_dir(), reason="Debian's `openclipart-png` is not installed")


def by_path(path: Path, scratch: Path, *roots: Path) -> Imported:
    return run_import(scratch, {"kind": "path", "path": str(path), "options": {"image_size": 64}}, *roots)


def test_the_whole_folder_is_imported_and_told_truthfully_and_a_network_trains_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(path for path in OPENCLIPART.rglob("*.png") if path.is_file())
    imported = by_path(OPENCLIPART, tmp_path / "import", OPENCLIPART)
    profile = imported.profile
    assert (profile.corrupt, profile.ignored) == ([], [])
    assert len(profile.meta.classes) == 22
    class_counts = Counter[str]()
    for counts in profile.class_counts.values():
        class_counts.update(counts)
    assert class_counts == Counter(path.relative_to(OPENCLIPART).parts[0] for path in files)
    copies = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert profile.duplicates["exact"] == sum(count for count in copies.values() if count > 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    sizes, modes = Counter[str](), Counter[str]()
    for path in files:
        with Image.open(path) as image:
            sizes[f"{image.width}x{image.height}"] += 1
            modes[image.mode] += 1
    assert sizes["10534x16000"]
    assert profile.modes == modes
    rare = profile.sizes.pop("other")
    assert profile.sizes.items() < sizes.items()
    assert sum(profile.sizes.values()) + rare == len(files)

    model = {"family": "torchvision", "arch": "squeezenet1_1", "image_size": 64, "mode": "full"}
    spec = JOB_SPEC.validate_python({"kind": "train", "dataset": "d", "epochs": 1, "model": model})
    context = RunContext(scratch=tmp_path, dataset=tmp_path / "import" / "packed")
    [result] = [e.report for e in run(spec, context) if isinstance(e, Reported) and e.name == "result"]
    assert isinstance(result, TrainResult)
    assert result.epochs == 1
    assert result.test["accuracy"] > max(class_counts.values()) / len(files), "no better than the largest class"


def test_archives_of_it_are_the_same_dataset_as_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "clip-art"
    for name in ("buildings", "electronics", "geography", "plants"):
        shutil.copytree(OPENCLIPART / name, folder / name)
    files = sorted(path for path in folder.rglob("*.png"))
    with zipfile.ZipFile(tmp_path / "clip-art.zip", "w") as zipped, tarfile.open(tmp_path / "c.tgz", "w:gz") as tarred:
        for path in files:
            zipped.write(path, path.relative_to(folder))
            tarred.add(path, str(path.relative_to(folder)))
    hashes = {
        by_path(source, tmp_path / f"import-{number}", tmp_path).hash
        for number, source in enumerate((folder, tmp_path / "clip-art.zip", tmp_path / "c.tgz"))
    }
    assert len(hashes) == 1
