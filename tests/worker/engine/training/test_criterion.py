"""Weights of classes with label smoothing, with soft labels, of absent classes, and none at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.errors import DataError
from service.specs.training import LossSpec
from service.states import StopReason
from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import ended_by, reports_of, spec_of, steps_of, train
from worker.engine.training.criterion import WeightedCrossEntropy, build_criterion

WEIGHTS_K = torch.tensor([0.5, 1.0, 4.0])
LOGITS_BK = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS_B = torch.tensor([0, 1, 2, 2, 0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_a_weight_of_two_counts_as_the_sample_twice(smoothing: float) -> None:
    ours = WeightedCrossEntropy(torch.tensor([1.0, 1.0, 2.0]), smoothing)(LOGITS_BK, LABELS_B)
    twice = torch.tensor([0, 1, 2, 2, 3, 3, 4, 5])
    assert ours.item() == pytest.approx(
        nn.functional.cross_entropy(LOGITS_BK[twice], LABELS_B[twice], label_smoothing=smoothing).item(), rel=1e-6
    )


def test_hard_labels_without_smoothing_equal_pytorch() -> None:
    expected = nn.functional.cross_entropy(LOGITS_BK, LABELS_B, WEIGHTS_K)
    assert WeightedCrossEntropy(WEIGHTS_K)(LOGITS_BK, LABELS_B).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_labels_that_are_hard_give_the_same(smoothing: float) -> None:
    criterion = WeightedCrossEntropy(WEIGHTS_K, smoothing)
    soft_BK = nn.functional.one_hot(LABELS_B, 3).float()
    assert criterion(LOGITS_BK, soft_BK).item() == pytest.approx(criterion(LOGITS_BK, LABELS_B).item(), rel=1e-6)


def test_a_batch_that_does_not_count_has_no_loss_and_no_gradient() -> None:
    logits_BK = LOGITS_BK.clone().requires_grad_()
    loss: Tensor = WeightedCrossEntropy(torch.tensor([0.0, 1.0, 1.0]), 0.1)(logits_BK, torch.zeros(6, dtype=torch.long))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert logits_BK.grad is not None
    assert not logits_BK.grad.any()


def test_a_class_that_the_train_split_lacks_has_no_weight() -> None:
    criterion = build_criterion(LossSpec(class_weights="balanced"), torch.tensor([0, 0, 0, 1]), 3)
    assert criterion.get_buffer("weight").tolist() == pytest.approx([4 / 6, 2.0, 0.0])


@pytest.mark.parametrize("weights", [[0.0, 0.0, 1.0], [1.0, 1.0]], ids=["no sample counts", "too few"])
def test_weights_that_cannot_train_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match=r"loss\.class_weights"):
        build_criterion(LossSpec(class_weights=weights), torch.tensor([0, 0, 1]), 3)


@pytest.fixture(scope="module")
def imbalanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 400 and 10 samples of them in train, whose means lie some four standard deviations apart."""
    generator = np.random.default_rng(1)
    centres_KF = generator.normal(size=(2, 10)) * 3
    y = np.repeat([0, 1, 0, 1, 0, 1], [400, 10, 80, 8, 80, 8])
    x = (centres_KF[y] + generator.normal(size=(len(y), 10))).astype(np.float32)
    split = np.repeat(np.array([0, 1, 2], np.uint8), [410, 88, 88])
    return pack(tmp_path_factory.mktemp("imbalanced"), x, y, split)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_balanced_weights_find_the_rare_class_with_smoothing_and_without(
    smoothing: float, imbalanced: Path, tmp_path: Path
) -> None:
    """Weighted smoothing would give the rare class to every sample: an accuracy of 0.24 here."""
    loss = {"class_weights": "balanced", "label_smoothing": smoothing}
    events = train(imbalanced, tmp_path, spec_of(epochs=20, batch_size=32, early_stopping=None, loss=loss))
    report = reports_of(events)["report:val"]
    assert report.accuracy > 0.97
    assert min(row.recall for row in report.classes) > 0.9


def test_a_class_that_is_switched_off_lets_batches_count_nothing(imbalanced: Path, tmp_path: Path) -> None:
    events = train(imbalanced, tmp_path, spec_of(batch_size=4, loss={"class_weights": [0.0, 1.0]}))
    assert ended_by(events) is StopReason.COMPLETED
    assert all(np.isfinite(values["train/loss"]) for values in steps_of(events).values())
