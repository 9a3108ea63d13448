"""How well a model classifies a split: report per class, and confusion matrix."""

from service.reports.part import ReportPart


class ClassRow(ReportPart):
    """One class; the names and definitions are scikit-learn's."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class AverageRow(ReportPart):
    """An average over classes."""

    precision: float
    recall: float
    f1: float
    support: int


class ClassificationReport(ReportPart):
    """scikit-learn's `classification_report(zero_division=0)` with loss and top-k."""

    split: str
    accuracy: float
    loss: float
    top_k: dict[str, float]
    macro: AverageRow
    weighted: AverageRow
    classes: list[ClassRow]
    next_cursor: str | None = None
    """Where the classes go on, when there are more than a page of them."""


class WorstSample(ReportPart):
    """A misclassified sample; `index` is n of `/v1/datasets/{id}/samples/{n}`."""

    index: int
    loss: float
    confidence: float


class ConfusedPair(ReportPart):
    """Samples of class `true` that were taken for `predicted`."""

    true: str
    predicted: str
    count: int
    share: float
    """Of the true class's samples."""
    worst: list[WorstSample] = []


DENSE_CLASSES = 200
"""Of more classes the confusion is told as cells: most of a matrix would be zeros."""


class ConfusionReport(ReportPart):
    """Rows are true classes, columns predicted ones; `normalized` rows sum to 1 (or are 0 for an empty class)."""

    split: str
    labels: list[str]
    matrix: list[list[int]] | None = None
    """Null above 200 classes, and `normalized` too: `cells` tells the same."""
    normalized: list[list[float]] | None = None
    cells: list[list[int]] | None = None
    """Above 200 classes: `[true, predicted, count]` of each cell that is not 0, as positions in `labels`, the largest
    first.
    """
    most_confused: list[ConfusedPair]
    next_cursor: str | None = None
    """Where the cells go on, when there are more than a page of them."""
