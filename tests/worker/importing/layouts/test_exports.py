"""Exports of annotation tools are known by the names of their files."""

import pytest

from worker.importing.layouts.exports import export_of


@pytest.mark.parametrize(
    ("others", "kind"),
    [
        (["train/_annotations.coco.json"], "COCO"),
        (["annotations/instances_val2017.json"], "COCO"),
        (["labels/train/1.txt"], "YOLO"),
        (["data.yaml"], "YOLO"),
        (["Annotations/1.xml"], "Pascal VOC"),
        (["annotations.xml"], "CVAT"),
        (["images/1.json"], "LabelMe"),
        (["_annotations.csv"], "boxes"),
        (["readme.md", "notes.txt"], None),
    ],
)
def test_an_export_is_named_with_what_to_export_instead(others: list[str], kind: str | None) -> None:
    said = export_of(["images/1.png", "images/2.png"], others)
    assert (said is None) if kind is None else (said is not None and kind in said and "instead" in said)
