"""What the name of a folder says that it is, where it is no class: pictures as such, masks, outputs, numbered parts."""

import re
from collections.abc import Iterable
from functools import lru_cache

from worker.importing.split_names import tokens

PICTURES = {
    "image", "images", "img", "imgs", "picture", "pictures", "pics", "photos", "jpegimages", "jpegs", "jpg", "jpgs",
    "png", "pngs", "data", "dataset", "datasets", "samples", "files", "raw", "rgb", "original", "originals", "input",
    "inputs", "resized", "cropped", "frames", "all", "x", "labelled", "labeled",
}  # fmt: skip
"""Words of a folder that merely holds the pictures."""
MASKS = {
    "mask", "masks", "segmentation", "segmentations", "segmentationclass", "segmentationobject",
    "segmentationclassaug", "gt", "groundtruth", "ground", "truth", "trimap", "trimaps", "annotation", "annotations",
    "label", "labels", "depth", "contours", "bbox", "bboxes", "boxes",
}  # fmt: skip
UNLABELLED = {"unlabeled", "unlabelled", "unlabel", "unsup", "unsupervised"}
OUTPUTS = {
    "output", "outputs", "out", "result", "results", "prediction", "predictions", "pred", "preds", "predict", "run",
    "runs", "heatmap", "heatmaps", "gradcam", "overlay", "overlays", "visualization", "visualizations", "thumbnail",
    "thumbnails", "thumbs", "plots", "figures", "logs", "checkpoints", "generated", "reconstructions", "extra",
    "extras", "docs", "doc", "assets", "demo", "preview", "previews", "examples", "submission", "submissions",
    "ignore", "trash", "tmp", "temp", "backup", "cache", "duplicates",
}  # fmt: skip
PARTS = {
    "new", "untitled", "part", "parts", "batch", "fold", "folds", "kfold", "split", "cv", "chunk", "shard", "image",
    "images", "img", "imgs", "folder", "dir", "data", "dataset", "disk", "disc", "page", "zip", "archive", "volume",
    "subset",
}  # fmt: skip
GROUPS = PARTS | {
    "set", "camera", "cam", "session", "block", "patient", "subject", "user", "writer", "participant", "person",
    "video", "clip", "scan", "slide", "sequence", "seq", "run", "day", "site", "lab", "round", "station", "device",
}  # fmt: skip
"""Numbered, they may be classes; they are none where all of them hold the same folders."""
DATE = re.compile(r"(19|20)\d\d[-_.]?(0[1-9]|1[0-2])([-_.]?([0-2]\d|3[01]))?")


def is_pictures(name: str) -> bool:
    """Whether a folder says no more than that it holds pictures: `images`, `JPEGImages`, `img_raw`."""
    words = tokens(name)
    return bool(words) and (set(words) <= PICTURES or "".join(words) in PICTURES)


@lru_cache(maxsize=2**14)
def is_masks(name: str) -> bool:
    """Whether a folder holds masks or labels of the pictures beside it, or pictures without labels."""
    words = set(tokens(name))
    marks = MASKS | UNLABELLED
    return (bool(words & marks) and words <= marks | PICTURES) or "".join(tokens(name)) in MASKS


def has_masks_of(name: str, others: Iterable[str]) -> bool:
    """Whether a folder holds the masks of another one: `cat_masks` beside `cat`."""
    words = tokens(name)
    plain = [word for word in words if word not in MASKS]
    return plain != words and plain != [] and any(tokens(other) == plain for other in others)


def is_outputs(name: str) -> bool:
    """Whether a folder holds what a program or an author made beside the samples."""
    words = set(tokens(name))
    return bool(words & OUTPUTS) and words <= OUTPUTS | PICTURES


def is_part(name: str) -> bool:
    """Whether a folder is one of numbered parts of a whole, or a date: `fold1`, `batch_02`, `images_001`, `2021-03`."""
    return DATE.fullmatch(name) is not None or _is_numbered(name, PARTS)


def is_group(name: str) -> bool:
    """Whether a folder is a part, or one of numbered cameras, writers, patients and the like."""
    return is_part(name) or _is_numbered(name, GROUPS)


def _is_numbered(name: str, words: set[str]) -> bool:
    given = set(tokens(name))
    return bool(given) and given <= words and any(character.isdigit() for character in name)
