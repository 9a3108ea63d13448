"""Pictures of results as SVG or PNG; matplotlib is imported when one is drawn, without pyplot's state."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from service.reports.classification import ConfusionReport
from service.reports.job import CurvesReport
from service.reports.result import LrCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png"]
MEDIA_TYPES: dict[ImageFormat, str] = {"svg": "image/svg+xml", "png": "image/png"}
TRAIN, VAL, ACCENT, INK, GRID, FAINT = "#3b6fd4", "#e07b39", "#2a9d6f", "#2b3040", "#e3e6ee", "#b6c0d8"
PNG_DPI = 144
# Cells of a confusion matrix are labelled with their counts up to this many classes.
LABELLED_CLASSES = 25
BLOCK_CLASSES = 40
"""Of more classes than a matrix can show, those that are drawn."""


def curves_picture(report: CurvesReport, image_format: ImageFormat) -> bytes:
    """Loss, accuracy and learning rate over epochs, with the best epoch marked."""
    panels = [name for name in ("loss", "accuracy") if any(name in {*e.train, *e.val} for e in report.epochs)]
    figure, axes = _figure(len(panels) + 1, width=3.9)
    for axis, name in zip(axes, panels, strict=False):
        _curve_panel(axis, report, name)
    _lr_panel(axes[-1], report)
    return _render(figure, image_format)


def lr_curve_picture(report: LrCurve, image_format: ImageFormat) -> bytes:
    """The learning-rate range test: raw and smoothed loss over log lr, with the suggestion marked."""
    figure, (axis,) = _figure(1, width=7.2)
    rates = [point.lr for point in report.points]
    measured = {point.lr: point.loss for point in report.points if point.loss is not None}
    axis.plot(list(measured), list(measured.values()), color=FAINT, lw=1.5, marker="o", ms=3, label="loss, measured")
    smoothed = [point.smoothed if point.smoothed is not None else float("nan") for point in report.points]
    axis.plot(rates, smoothed, color=TRAIN, lw=2, label="smoothed")
    axis.set_xscale("log")
    finite = [value for value in smoothed if value == value]
    if finite:
        span = max(finite) - min(finite) or 1.0
        axis.set_ylim(min(finite) - 0.15 * span, max(finite) + 0.25 * span)
    if report.steepest is not None:
        axis.axvline(report.steepest, color=VAL, lw=1.2, ls=":", label=f"steepest {report.steepest:.1e}")
    axis.axvline(report.suggested, color=ACCENT, lw=1.8, label=f"suggested {report.suggested:.1e}")
    _dress(axis, f"Learning-rate range test ({report.quality})", "learning rate", "loss")
    return _render(figure, image_format)


def confusion_picture(report: ConfusionReport, image_format: ImageFormat) -> bytes:
    """The confusion matrix: colour is the share of the true class, numbers are samples.

    Of many classes the picture shows those with the most errors.
    """
    title = f"Confusion on {report.split}"
    if report.matrix is None:
        classes, report = len(report.labels), _worst_block(report)
        title += f": {len(report.labels)} of {classes:,} classes, those with the most errors"
    size = len(report.labels)
    side = min(16.0, 3.2 + 0.42 * size)
    figure, (axis,) = _figure(1, width=side, height=side)
    assert report.normalized is not None
    image = axis.imshow(report.normalized, cmap="Blues", vmin=0, vmax=1)
    if size <= LABELLED_CLASSES:
        _cell_counts(axis, report)
    step = max(1, size // 40)
    ticks = range(0, size, step)
    axis.set_xticks(ticks, [_short(report.labels[i]) for i in ticks], rotation=45, ha="right", fontsize=8)
    axis.set_yticks(ticks, [_short(report.labels[i]) for i in ticks], fontsize=8)
    axis.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axis.set_xlabel("predicted", color=INK)
    axis.set_ylabel("true", color=INK)
    figure.colorbar(image, ax=axis, fraction=0.046, pad=0.03, label="share of the true class")
    return _render(figure, image_format)


def _curve_panel(axis: "Axes", report: CurvesReport, name: str) -> None:
    epochs = [row.epoch for row in report.epochs]
    for label, color, side in (("train", TRAIN, "train"), ("val", VAL, "val")):
        values = [getattr(row, side).get(name) for row in report.epochs]
        if any(value is not None for value in values):
            drawn = [float("nan") if value is None else value for value in values]
            axis.plot(epochs, drawn, color=color, lw=2, marker="o", ms=3, label=label)
    if report.best_epoch is not None:
        axis.axvline(report.best_epoch, color=ACCENT, lw=1.2, ls="--", label=f"best epoch {report.best_epoch}")
    _dress(axis, name.capitalize(), "epoch", "")


def _lr_panel(axis: "Axes", report: CurvesReport) -> None:
    rates = [float("nan") if row.lr is None else row.lr for row in report.epochs]
    axis.plot([row.epoch for row in report.epochs], rates, color=ACCENT, lw=2, marker="o", ms=3)
    _dress(axis, "Learning rate", "epoch", "")
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _worst_block(report: ConfusionReport) -> ConfusionReport:
    """The matrix of the classes with the most errors; shares are of all samples of the true class."""
    errors, support = Counter[int](), Counter[int]()
    for true, predicted, count in report.cells or []:
        support[true] += count
        if true != predicted:
            errors[true] += count
            errors[predicted] += count
    chosen = sorted(number for number, _ in errors.most_common(BLOCK_CLASSES)) or list(range(BLOCK_CLASSES))
    place = {number: row for row, number in enumerate(chosen)}
    matrix = [[0] * len(chosen) for _ in chosen]
    for true, predicted, count in report.cells or []:
        if true in place and predicted in place:
            matrix[place[true]][place[predicted]] = count
    shares = [[count / max(support[number], 1) for count in row] for number, row in zip(chosen, matrix, strict=True)]
    labels = [report.labels[number] for number in chosen]
    return report.model_copy(update={"labels": labels, "matrix": matrix, "normalized": shares})


def _cell_counts(axis: "Axes", report: ConfusionReport) -> None:
    assert report.matrix is not None
    assert report.normalized is not None
    for row, counts in enumerate(report.matrix):
        for column, count in enumerate(counts):
            if count:
                color = "white" if report.normalized[row][column] > 0.55 else INK
                axis.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)


def _short(label: str) -> str:
    return label if len(label) <= 18 else label[:17] + "…"


def _dress(axis: "Axes", title: str, xlabel: str, ylabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axis.set_xlabel(xlabel, color=INK)
    axis.set_ylabel(ylabel, color=INK)
    axis.grid(True, color=GRID, lw=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=INK, labelsize=8)
    if xlabel == "epoch":
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)


def _figure(panels: int, *, width: float, height: float = 3.4) -> "tuple[Figure, Sequence[Axes]]":
    """A figure with `panels` axes in a row, made without pyplot: nothing is shared between requests."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * panels, height), layout="constrained")
    return figure, [figure.add_subplot(1, panels, index + 1) for index in range(panels)]


def _render(figure: "Figure", image_format: ImageFormat) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # A fixed salt and no date: the same numbers give the same bytes.
    with rc_context({"svg.hashsalt": "trainwright", "svg.fonttype": "path"}):
        metadata = {"Date": None} if image_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=image_format, dpi=PNG_DPI, facecolor="white", metadata=metadata)
    return buffer.getvalue()
