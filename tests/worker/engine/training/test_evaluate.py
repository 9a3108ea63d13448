"""Reports equal scikit-learn's on the same predictions."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics

from service.reports.classification import DENSE_CLASSES
from worker.engine.training.evaluate import (
    Evaluation,
    _outcomes,
    classification_report,
    confusion_report,
    macro_f1,
)

NAMES = ["zero", "one", "two", "three", "four", "five", "six"]
K = len(NAMES)


def evaluation_of(
    logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64], top_k: tuple[int, ...] = (1,)
) -> Evaluation:
    """What the engine concludes from these logits."""
    found = _outcomes(torch.from_numpy(logits_NK), torch.from_numpy(labels_N), top_k)
    losses_N, _, predictions_N, confidences_N, hits_NT = (column.numpy() for column in found)
    return Evaluation(
        loss=float(losses_N.mean()),
        accuracy=float((predictions_N == labels_N).mean()),
        top_k={k: float(hits_NT[:, n].mean()) for n, k in enumerate(top_k)},
        labels_N=labels_N,
        predictions_N=predictions_N,
        losses_N=losses_N,
        confidences_N=confidences_N,
    )


@pytest.fixture(params=range(4))
def case(request: pytest.FixtureRequest) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Random logits and labels; class six is never true, class five never predicted."""
    rng = np.random.default_rng(request.param)
    labels_N = rng.integers(0, K - 1, 500)
    logits_NK = rng.normal(size=(500, K)).astype(np.float32)
    logits_NK[np.arange(500), labels_N] += 1.0
    logits_NK[:, 5] -= 100
    return logits_NK, labels_N


def test_report_equals_scikit_learn(case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    found = evaluation_of(*case)
    ours = classification_report(found, "test", NAMES)
    theirs = metrics.classification_report(
        found.labels_N, found.predictions_N, labels=range(K), target_names=NAMES, output_dict=True, zero_division=0
    )
    for row in ours.classes:
        expected = theirs[row.name]
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"], expected["support"]), abs=1e-12
        )
    for name, average in (("macro avg", ours.macro), ("weighted avg", ours.weighted)):
        assert (average.precision, average.recall, average.f1, average.support) == pytest.approx(
            tuple(theirs[name][key] for key in ("precision", "recall", "f1-score", "support")), abs=1e-12
        )
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(found.labels_N, found.predictions_N), abs=1e-12)


def test_top_k_equals_scikit_learn(case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits_NK, labels_N = case
    ours = evaluation_of(logits_NK, labels_N, (1, 3, 5)).top_k
    for k, value in ours.items():
        expected = metrics.top_k_accuracy_score(labels_N, logits_NK, k=k, labels=range(K))
        assert value == pytest.approx(expected, abs=1e-12)
    assert evaluation_of(logits_NK, labels_N, (K, 50)).top_k == {K: 1.0, 50: 1.0}


def test_loss_equals_scikit_learn(case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits_NK, labels_N = case
    logits_NK = logits_NK.clip(-10)  # scikit-learn clips probabilities of exactly zero
    probabilities_NK = torch.from_numpy(logits_NK).double().softmax(1).numpy()
    expected = metrics.log_loss(labels_N, probabilities_NK, labels=range(K))
    assert evaluation_of(logits_NK, labels_N).loss == pytest.approx(expected, abs=1e-5)


def test_confusion_matrix_equals_scikit_learn(case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    found = evaluation_of(*case)
    ours = confusion_report(found, "val", NAMES, np.arange(500))
    assert ours.matrix == metrics.confusion_matrix(found.labels_N, found.predictions_N, labels=range(K)).tolist()
    rows = np.asarray(ours.normalized).sum(1)
    assert rows == pytest.approx([1, 1, 1, 1, 1, 1, 0])


def test_most_confused_pairs_come_with_their_worst_samples(
    case: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    found = evaluation_of(*case)
    numbers = np.arange(500) + 1000
    pairs = confusion_report(found, "val", NAMES, numbers).most_confused
    counts = np.asarray(confusion_report(found, "val", NAMES, numbers).matrix)
    np.fill_diagonal(counts, 0)
    assert len(pairs) == 10
    assert [pair.count for pair in pairs] == sorted(counts.ravel().tolist(), reverse=True)[:10]
    for pair in pairs:
        true, predicted = NAMES.index(pair.true), NAMES.index(pair.predicted)
        members = np.flatnonzero((found.labels_N == true) & (found.predictions_N == predicted))
        worst = members[np.argsort(-found.losses_N[members])][:5]
        assert [sample.index for sample in pair.worst] == (worst + 1000).tolist()
        assert pair.share == pytest.approx(pair.count / (found.labels_N == true).sum())
        assert all(0 < sample.confidence <= 1 for sample in pair.worst)


def test_perfect_predictions_confuse_nothing() -> None:
    labels_N = np.arange(20) % K
    logits_NK = np.eye(K, dtype=np.float32)[labels_N] * 9
    report = confusion_report(evaluation_of(logits_NK, labels_N), "val", NAMES, np.arange(20))
    assert report.most_confused == []


def test_many_classes_are_told_as_cells_that_equal_scikit_learns_matrix() -> None:
    rng = np.random.default_rng(0)
    names = [f"class {number}" for number in range(DENSE_CLASSES + 50)]
    labels_N = rng.integers(0, len(names), 3000)
    logits_NK = rng.normal(size=(3000, len(names))).astype(np.float32)
    logits_NK[np.arange(3000), labels_N] += 3.0
    evaluation = evaluation_of(logits_NK, labels_N)
    report = confusion_report(evaluation, "val", names, np.arange(3000))
    assert report.matrix is None
    assert report.normalized is None
    assert report.cells is not None
    expected = metrics.confusion_matrix(labels_N, evaluation.predictions_N, labels=range(len(names)))
    assert len(report.cells) == np.count_nonzero(expected)
    assert all(expected[true, predicted] == count for true, predicted, count in report.cells)
    counts = [count for _, _, count in report.cells]
    assert counts == sorted(counts, reverse=True)
    f1 = metrics.f1_score(labels_N, evaluation.predictions_N, average="macro", labels=range(len(names)))
    assert macro_f1(evaluation, len(names)) == pytest.approx(f1)
