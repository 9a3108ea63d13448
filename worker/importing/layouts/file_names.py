"""Labels in the names of files: `cat.001.jpg`, `dog_12.png`, `12-cat.png`; and masks beside their pictures."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from posixpath import basename, splitext

from worker.importing.split_names import split_of, tokens

NUMBERED = re.compile(r"(?P<label>.*?[^\W\d_].*?)[ ._\-]*[(\[]?\d+[)\]]?")
NUMBER_FIRST = re.compile(r"\d+[ ._\-]+(?P<label>[^\W\d_].*)")
WORDS_FIRST = re.compile(r"(?P<label>[^\W\d_]+(?:[ _\-][^\W\d_]+)*)[ ._\-]+\d.*")
CAMERA_WORDS = {
    "img", "image", "images", "dsc", "dscn", "dscf", "dji", "gopr", "pxl", "mvimg", "photo", "photos", "pic",
    "picture", "frame", "scan", "screenshot", "screen", "shot", "whatsapp", "at", "file", "sample", "test",
    "untitled", "unnamed", "download", "page", "slide", "copy", "crop", "id", "no", "nr", "am", "pm",
}  # fmt: skip
"""What cameras and programs call any picture."""
MIN_COVERED = 0.9
"""Share of the pictures whose label must come more than once."""
MASK = re.compile(
    r"(?P<stem>.+?)[ ._\-]*(mask|masks|seg|segm|segmentation|gt|groundtruth|annotation|overlay|heatmap|contour|"
    r"trimap|labelids|labeltrainids|instanceids)([ ._\-]*\d+)?",
    re.IGNORECASE,
)


def labels_of_names(names: Sequence[str]) -> dict[str, str]:
    """The label of each picture whose name begins or ends with one; empty where names are no labels."""
    labels = {name: label for name in names if (label := label_of(_stem(basename(name))))}
    counts = Counter(labels.values())
    repeated = {name: label for name, label in labels.items() if counts[label] > 1}
    if len(set(repeated.values())) < 2 or len(repeated) < MIN_COVERED * len(names):
        return {}
    if any(set(tokens(label)) <= CAMERA_WORDS or split_of(label) is not None for label in counts if counts[label] > 1):
        return {}
    return repeated


def label_of(stem: str) -> str | None:
    """The words before or behind a picture's number."""
    match = NUMBERED.fullmatch(stem) or NUMBER_FIRST.fullmatch(stem) or WORDS_FIRST.fullmatch(stem)
    return match["label"].strip(" ._-") if match else None


def masks_beside(names: Iterable[str]) -> dict[str, str]:
    """Masks -> the picture in the same folder that each belongs to: `a_mask.png` beside `a.png`."""
    pictures = {_stem(name): name for name in names}
    masks = {}
    for stem, name in pictures.items():
        folder, _, own = stem.rpartition("/")
        match = MASK.fullmatch(own)
        if match is None:
            continue
        base = f"{folder}/{match['stem']}" if folder else match["stem"]
        if base in pictures:
            masks[name] = pictures[base]
    return masks


def _stem(name: str) -> str:
    return splitext(name)[0]
