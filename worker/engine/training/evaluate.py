"""How well a model does on a split: loss, accuracy, top-k, report per class and confusion matrix."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.reports.classification import (
    DENSE_CLASSES,
    AverageRow,
    ClassificationReport,
    ClassRow,
    ConfusedPair,
    ConfusionReport,
    WorstSample,
)
from worker.engine.data.batches import BatchSource
from worker.engine.runtime import preserve
from worker.engine.runtime.precision import Precision

MOST_CONFUSED, WORST_SAMPLES = 10, 5


@dataclass(frozen=True)
class Evaluation:
    """Per-sample outcomes on one split, in the split's order; losses are plain cross entropy in nats."""

    loss: float
    accuracy: float
    top_k: dict[int, float]
    labels_N: NDArray[np.int64]
    predictions_N: NDArray[np.int64]
    losses_N: NDArray[np.float32]
    confidences_N: NDArray[np.float32]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode and no gradients; each module's own mode comes back afterwards."""
    with preserve.modes(model), torch.inference_mode():
        model.eval()
        yield


def evaluate(model: nn.Module, batches: BatchSource, precision: Precision, top_k: Sequence[int] = (1,)) -> Evaluation:
    """Runs the split once in eval mode; BatchNorm statistics and gradients are untouched."""
    evaluation = evaluate_until(lambda: None, model, batches, precision, top_k)
    assert evaluation is not None
    return evaluation


def evaluate_until(
    stop: Callable[[], object],
    model: nn.Module,
    batches: BatchSource,
    precision: Precision,
    top_k: Sequence[int] = (1,),
) -> Evaluation | None:
    """As `evaluate`; None as soon as `stop`, asked after every batch, has a reason."""
    outcomes: list[tuple[Tensor, ...]] = []
    with evaluation_mode(model):
        for batch in batches.epoch(1):
            with precision.autocast():
                logits_BK = model(batch.inputs)
            outcomes.append(_outcomes(logits_BK.float(), batch.labels_B, top_k))
            if stop():
                return None
    losses_N, labels_N, predictions_N, confidences_N, hits_NT = (
        torch.cat(parts).cpu().numpy() for parts in zip(*outcomes, strict=True)
    )
    return Evaluation(
        loss=float(losses_N.mean(dtype=np.float64)),
        accuracy=float((predictions_N == labels_N).mean()),
        top_k={k: float(hits_NT[:, column].mean()) for column, k in enumerate(top_k)},
        labels_N=labels_N,
        predictions_N=predictions_N,
        losses_N=losses_N,
        confidences_N=confidences_N,
    )


def _outcomes(logits_BK: Tensor, labels_B: Tensor, top_k: Sequence[int]) -> tuple[Tensor, ...]:
    losses_B = nn.functional.cross_entropy(logits_BK, labels_B, reduction="none")
    confidences_B, predictions_B = logits_BK.softmax(1).max(1)
    classes = logits_BK.shape[1]
    ranks_B = (logits_BK > logits_BK.gather(1, labels_B[:, None])).sum(1)
    hits_BT = torch.stack([ranks_B < min(k, classes) for k in top_k], dim=1)
    return losses_B, labels_B, predictions_B, confidences_B, hits_BT


@dataclass(frozen=True, slots=True)
class Confusion:
    """The cells of a confusion matrix that are not 0: `flat_M` is true class * classes + predicted class."""

    classes: int
    flat_M: NDArray[np.int64]
    counts_M: NDArray[np.int64]
    support_K: NDArray[np.int64]
    predicted_K: NDArray[np.int64]

    @classmethod
    def of(cls, evaluation: Evaluation, classes: int) -> "Confusion":
        """Counts what was predicted; a matrix of ten thousand classes would not fit into memory."""
        labels_N, predictions_N = evaluation.labels_N, evaluation.predictions_N
        flat_M, counts_M = np.unique(labels_N * classes + predictions_N, return_counts=True)
        support_K, predicted_K = (np.bincount(numbers_N, minlength=classes) for numbers_N in (labels_N, predictions_N))
        return cls(classes, flat_M, counts_M, support_K, predicted_K)

    @property
    def hits_K(self) -> NDArray[np.int64]:
        """The diagonal."""
        hits_K = np.zeros(self.classes, np.int64)
        is_hit_M = self.flat_M % (self.classes + 1) == 0
        hits_K[self.flat_M[is_hit_M] // self.classes] = self.counts_M[is_hit_M]
        return hits_K

    def matrix_KK(self) -> NDArray[np.int64]:
        """Rows are true classes, columns predicted ones."""
        counts_KK = np.zeros(self.classes**2, np.int64)
        counts_KK[self.flat_M] = self.counts_M
        return counts_KK.reshape(self.classes, self.classes)

    def cells(self) -> list[list[int]]:
        """True class, predicted class and count of each, the largest first."""
        order = np.lexsort((self.flat_M, -self.counts_M))
        true_M, predicted_M = np.divmod(self.flat_M[order], self.classes)
        cells: list[list[int]] = np.stack([true_M, predicted_M, self.counts_M[order]], axis=1).tolist()
        return cells


def macro_f1(evaluation: Evaluation, classes: int) -> float:
    """The macro F1 of `classification_report`, alone."""
    confusion = Confusion.of(evaluation, classes)
    return float(_ratio(2 * confusion.hits_K, confusion.support_K + confusion.predicted_K).mean())


def classification_report(evaluation: Evaluation, split: str, classes: Sequence[str]) -> ClassificationReport:
    """scikit-learn's `classification_report(zero_division=0)` over all classes, with loss and top-k."""
    confusion = Confusion.of(evaluation, len(classes))
    hits_K, support_K, predicted_K = confusion.hits_K, confusion.support_K, confusion.predicted_K
    precision_K = _ratio(hits_K, predicted_K)
    recall_K = _ratio(hits_K, support_K)
    f1_K = _ratio(2 * hits_K, support_K + predicted_K)
    columns = (precision_K, recall_K, f1_K)
    total = int(support_K.sum())
    return ClassificationReport(
        split=split,
        accuracy=evaluation.accuracy,
        loss=evaluation.loss,
        top_k={str(k): value for k, value in evaluation.top_k.items()},
        macro=_average(columns, np.ones(len(classes)), total),
        weighted=_average(columns, support_K, total),
        classes=[
            ClassRow(name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n))
            for name, p, r, f, n in zip(classes, *columns, support_K, strict=True)
        ],
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def _average(
    columns: tuple[NDArray[np.float64], ...], weights: NDArray[np.float64] | NDArray[np.int64], support: int
) -> AverageRow:
    precision, recall, f1 = (float(np.average(column, weights=weights)) for column in columns)
    return AverageRow(precision=precision, recall=recall, f1=f1, support=support)


def confusion_report(
    evaluation: Evaluation, split: str, classes: Sequence[str], indices_N: NDArray[np.int64]
) -> ConfusionReport:
    """The matrix (of many classes: its cells) and the most confused pairs; `indices_N` are the samples' numbers in the
    dataset.
    """
    confusion = Confusion.of(evaluation, len(classes))
    is_dense = len(classes) <= DENSE_CLASSES
    counts_KK = confusion.matrix_KK() if is_dense else None
    return ConfusionReport(
        split=split,
        labels=list(classes),
        matrix=None if counts_KK is None else counts_KK.tolist(),
        normalized=None if counts_KK is None else _ratio(counts_KK, confusion.support_K[:, None]).tolist(),
        cells=None if is_dense else confusion.cells(),
        most_confused=_most_confused(evaluation, confusion, classes, indices_N),
    )


def _most_confused(
    evaluation: Evaluation, confusion: Confusion, classes: Sequence[str], indices_N: NDArray[np.int64]
) -> list[ConfusedPair]:
    is_miss_M = confusion.flat_M % (len(classes) + 1) != 0
    flat_M, counts_M = confusion.flat_M[is_miss_M], confusion.counts_M[is_miss_M]
    order = np.lexsort((flat_M, counts_M))[::-1][:MOST_CONFUSED]
    return [
        ConfusedPair(
            true=classes[true],
            predicted=classes[predicted],
            count=count,
            share=count / int(confusion.support_K[true]),
            worst=_worst(evaluation, true, predicted, indices_N),
        )
        for (true, predicted), count in (
            (divmod(flat, len(classes)), count)
            for flat, count in zip(flat_M[order].tolist(), counts_M[order].tolist(), strict=True)
        )
    ]


def _worst(evaluation: Evaluation, true: int, predicted: int, indices_N: NDArray[np.int64]) -> list[WorstSample]:
    chosen = np.flatnonzero((evaluation.labels_N == true) & (evaluation.predictions_N == predicted))
    chosen = chosen[np.argsort(-evaluation.losses_N[chosen], kind="stable")][:WORST_SAMPLES]
    return [
        WorstSample(
            index=int(indices_N[n]),
            loss=float(evaluation.losses_N[n]),
            confidence=float(evaluation.confidences_N[n]),
        )
        for n in chosen
    ]
