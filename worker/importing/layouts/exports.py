"""Exports of annotation tools for detection and segmentation, known by the names of their files."""

import re
from collections.abc import Sequence
from posixpath import basename, splitext

from worker.importing.layouts.folder_names import is_masks
from worker.importing.split_names import tokens

CLASSES_INSTEAD = (
    "export it for classification instead (Roboflow: `Folder Structure`; CVAT: `ImageNet`; Label Studio: CSV with one "
    "choice a picture), or crop the objects into a folder for each class"
)


def export_of(pictures: Sequence[str], others: Sequence[str]) -> str | None:
    """What a set of files looks like, in a sentence, with what to export instead; None for no such export."""
    kind = _kind({_stem(name) for name in pictures}, pictures, others)
    return f"it looks like {kind}; {CLASSES_INSTEAD}" if kind else None


def _kind(stems: set[str], pictures: Sequence[str], others: Sequence[str]) -> str | None:
    names = [name.casefold() for name in others]
    folders = {part for name in [*pictures, *others] for part in name.split("/")[:-1]}
    beside = {
        suffix: sum(name.endswith(suffix) and _stem(name) in stems for name in others)
        for suffix in (".txt", ".xml", ".json")
    }
    words = {word for folder in folders for word in tokens(folder)}
    if any(
        re.search(r"coco.*\.json$|(^|/)(instances|person_keypoints|captions|panoptic)_[^/]*\.json$", name)
        for name in names
    ):
        return "a COCO export (boxes or outlines in JSON)"
    if any(name.endswith(("createml.json", "_annotations.csv")) for name in names):
        return "an export with boxes"
    if {"jpegimages", "imagesets"} <= words or "SegmentationClass" in folders or beside[".xml"]:
        return "a Pascal VOC export (boxes or outlines in XML)"
    if beside[".txt"] or any(
        re.search(r"(^|/)(data|dataset|darknet)\.(yaml|yml)$|(^|/)labels/.*\.txt$", name) for name in names
    ):
        return "a YOLO export (boxes in text files beside the pictures)"
    if any(re.search(r"(^|/)annotations\.xml$", name) for name in names):
        return "a CVAT export (boxes or outlines in XML)"
    if beside[".json"] or any("annotations/" in name and name.endswith(".json") for name in names):
        return "an export with outlines or boxes in JSON (LabelMe, COCO)"
    if any(map(is_masks, folders)):
        return "pictures with masks, for segmentation"
    return None


def _stem(name: str) -> str:
    return splitext(basename(name))[0]
