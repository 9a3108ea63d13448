"""Pictures: valid files, the same bytes for the same numbers, and no global state of matplotlib."""

import math
import subprocess
import sys
from io import BytesIO
from xml.etree import ElementTree

import pytest
from PIL import Image

from service import plots
from service.plots import ImageFormat
from service.reports.classification import ConfusionReport
from service.reports.job import CurveEpoch, CurvesReport
from service.reports.result import LrCurve, LrPoint

CURVES = CurvesReport(
    epochs=[
        CurveEpoch(
            epoch=n,
            train={"loss": 2 / n, "accuracy": 1 - 0.5 / n},
            val={"loss": 2.2 / n + 0.02 * n, "accuracy": 0.97 - 0.5 / n},
            lr=1e-3 * (1 - n / 13),
        )
        for n in range(1, 13)
    ],
    best_epoch=9,
)
CONFUSION = ConfusionReport(
    split="val",
    labels=[f"class {n}" for n in range(10)],
    matrix=[[18 if i == j else int((i * 7 + j) % 9 == 0) for j in range(10)] for i in range(10)],
    normalized=[[0.9 if i == j else 0.1 * ((i * 7 + j) % 9 == 0) for j in range(10)] for i in range(10)],
    most_confused=[],
)


def lr_curve() -> LrCurve:
    rates = [10 ** (-7 + 0.07 * n) for n in range(100)]
    losses = [2.3 - 1.5 / (1 + math.exp(-(math.log10(lr) + 3) * 3)) + max(0, math.log10(lr) + 1) * 8 for lr in rates]
    points = [
        LrPoint(lr=lr, loss=loss + 0.06 * math.sin(9 * n), smoothed=loss if n < 92 else None)
        for n, (lr, loss) in enumerate(zip(rates, losses, strict=True))
    ]
    return LrCurve(
        points=points, suggested=6e-4, steepest=1e-3, minimum_over_ten=4e-3, quality="good", reason="", rule="probe"
    )


def picture(name: str, image_format: ImageFormat) -> bytes:
    match name:
        case "curves":
            return plots.curves_picture(CURVES, image_format)
        case "confusion":
            return plots.confusion_picture(CONFUSION, image_format)
        case _:
            return plots.lr_curve_picture(lr_curve(), image_format)


@pytest.mark.parametrize("name", ["curves", "confusion", "lr-curve"])
def test_pictures_are_valid_and_repeatable(name: str) -> None:
    svg = picture(name, "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == picture(name, "svg")
    image = Image.open(BytesIO(picture(name, "png")))
    image.verify()
    assert min(image.size) > 300


def test_of_many_classes_those_with_the_most_errors_are_drawn() -> None:
    names = [f"class {number}" for number in range(300)]
    cells = [[number, number, 9] for number in range(300)] + [[250, 260, 5], [7, 250, 4]]
    report = ConfusionReport(split="val", labels=names, cells=cells, most_confused=[])
    svg = plots.confusion_picture(report, "svg").decode()
    assert "3 of 300 classes" in svg
    assert [name for name in names if f"<!-- {name} -->" in svg] == ["class 7", "class 250", "class 260"]


def test_a_run_without_epochs_still_has_a_picture() -> None:
    empty = CurvesReport(epochs=[], best_epoch=None)
    assert plots.curves_picture(empty, "svg").startswith(b"<?xml")


def test_drawing_loads_no_pyplot() -> None:
    code = (
        "import sys; from service import plots; from service.reports.job import CurvesReport;"
        "assert 'matplotlib' not in sys.modules;"
        "plots.curves_picture(CurvesReport(epochs=[], best_epoch=None), 'png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
