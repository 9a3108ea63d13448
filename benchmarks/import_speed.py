"""Imports of folders of pictures against Pillow alone: a pool on all cores that decodes the same files and no more.

The import is the whole job: it lists, decodes, resizes, hashes, looks for duplicates, splits, profiles and packs.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from benchmarks.measure import Measure, interleaved
from service.specs.dataset import ImportOptions, ImportSpec, PathSource
from worker.engine.context import RunContext
from worker.importing.import_job import run_import

OPENCLIPART = Path("/usr/share/openclipart/png")
EVERY = 8
"""One of so many of openclipart's 8,121 pictures is taken."""
PHOTOGRAPHS, SIZE = 60, (4000, 2668)
SIDE = 256
TARGET = 0.8


def measure() -> list[Measure]:
    """Photographs as cameras store them, and clip art as it is, where Debian's package is installed."""
    with tempfile.TemporaryDirectory() as scratch:
        measures = _compare("JPEG photographs of 11 megapixels", photographs(Path(scratch) / "photographs"))
        if OPENCLIPART.is_dir():
            measures += _compare("PNGs of openclipart", clip_art(Path(scratch) / "clip-art"))
        return measures


def photographs(folder: Path) -> Path:
    """Parts of scikit-learn's two real photographs, each another, enlarged."""
    originals = [Image.fromarray(array) for array in load_sample_images().images]
    for number in range(PHOTOGRAPHS):
        name, image = ("china", "flower")[number % 2], originals[number % 2]
        left, top = number % 97, number % 61
        part = image.crop((left, top, image.width - 97 + left, image.height - 61 + top)).resize(SIZE)
        path = folder / name / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.save(path, quality=92)
    return folder


def clip_art(folder: Path) -> Path:
    """Copies of some of openclipart's pictures, in their folders."""
    files = sorted(path for path in OPENCLIPART.rglob("*.png") if path.is_file())
    for path in files[::EVERY]:
        copy = folder / path.relative_to(OPENCLIPART)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


def _compare(what: str, folder: Path) -> list[Measure]:
    files = [str(path) for path in folder.rglob("*.*")]
    cores = len(os.sched_getaffinity(0))

    def pooled(work: Callable[[str], int]) -> None:
        with multiprocessing.get_context("fork").Pool(cores) as pool:
            assert sum(pool.imap_unordered(work, files, chunksize=4)) == len(files)

    times = interleaved(
        {
            "decodes": lambda: pooled(decode),
            "decodes and fits": lambda: pooled(fit),
            "imports": lambda: import_whole(folder),
        },
        rounds=3,
    )
    told = ", ".join(f"{name} {taken:.1f} s" for name, taken in times.items())
    note = f"{len(files):,} files on {cores} cores: {told}"
    return [
        Measure(
            f"import of {what} against Pillow alone, decoding", times["decodes"] / times["imports"], TARGET, note=note
        ),
        Measure("the same, decoding and resizing", times["decodes and fits"] / times["imports"], TARGET, note=note),
    ]


def decode(path: str) -> int:
    """All that Pillow has to do to see the picture."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        image.load()
    return 1


def fit(path: str) -> int:
    """And to bring it to the size that is packed."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        clear = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
        small = ImageOps.fit(clear, (SIDE, SIDE), Image.Resampling.BILINEAR)
    return int(len(small.convert("RGB").tobytes()) == 3 * SIDE**2)


def import_whole(folder: Path) -> None:
    """The job, as a worker runs it."""
    source = PathSource(kind="path", path=str(folder), options=ImportOptions(drop_corrupt=True, image_size=SIDE))
    spec = ImportSpec(kind="import", dataset="benchmark", source=source)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for _ in run_import(spec, RunContext(scratch=Path(scratch), data_roots=(folder,))):
            pass
