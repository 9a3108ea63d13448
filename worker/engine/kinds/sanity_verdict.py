"""What the attempts to overfit one batch say: passed or not, and what is likely to be wrong."""

import math
from dataclasses import dataclass, field

import torch

from service.diagnosis.thresholds import VANISHING_NORM
from service.reports.result import CheckupReport, SanityReport
from service.specs.sanity import SanitySpec
from worker.engine.data.batches import Batch

EVAL_THRESHOLD = 0.90
LEARNED_STEPS = 3
"""Steps in a row above the threshold after which the batch counts as learned."""


@dataclass
class Attempt:
    """One try with one learning rate."""

    lr: float
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    eval_accuracy: float = 0.0

    @property
    def accuracy(self) -> float:
        """After the last step, in train mode."""
        return self.accuracies[-1] if self.accuracies else 0.0

    def is_learned(self, threshold: float) -> bool:
        """Whether the last steps in a row were above the threshold."""
        recent = self.accuracies[-LEARNED_STEPS:]
        return len(recent) == LEARNED_STEPS and min(recent) > threshold

    def has_passed(self, threshold: float) -> bool:
        """Whether the batch was learned in train mode and is known in eval mode."""
        return self.accuracy > threshold and self.eval_accuracy > EVAL_THRESHOLD


def judge(spec: SanitySpec, attempts: list[Attempt], checkup: CheckupReport, batch: Batch) -> SanityReport:
    """The first attempt decides; a later one that passed tells why it failed."""
    judged = attempts[0]
    passed = judged.has_passed(spec.threshold)
    return SanityReport(
        passed=passed,
        accuracy=judged.accuracy,
        eval_accuracy=judged.eval_accuracy,
        initial_loss=judged.losses[0],
        final_loss=judged.losses[-1],
        steps=len(judged.losses),
        batch_size=len(batch.labels_B),
        notes=_notes(spec, len(batch.labels_B)),
        lr=judged.lr,
        loss_per_step=[loss if math.isfinite(loss) else None for loss in judged.losses],
        accuracy_per_step=judged.accuracies,
        causes=[] if passed else _causes(spec, attempts, checkup, batch),
        attempts=[
            {"lr": attempt.lr, "accuracy": attempt.accuracy, "eval_accuracy": attempt.eval_accuracy}
            for attempt in attempts
        ],
    )


def _notes(spec: SanitySpec, used: int) -> list[str]:
    asked = spec.batch_size or spec.samples
    return [f"the batch has {used} samples, not {asked}: the train split has no more"] if used < asked else []


def _causes(spec: SanitySpec, attempts: list[Attempt], checkup: CheckupReport, batch: Batch) -> list[str]:
    """Likely causes of a failure, the likeliest first."""
    first, causes = attempts[0], []
    better = next((later for later in attempts[1:] if later.has_passed(spec.threshold)), None)
    if better is not None:
        word = "high" if better.lr < first.lr else "low"
        causes.append(f"the learning rate {first.lr:.2e} is too {word}: with {better.lr:.2e} the batch is learned")
    elif not math.isfinite(first.losses[-1]):
        causes.append(f"the loss became {first.losses[-1]} at step {len(first.losses)}: look at the data's range")
    if first.accuracy > spec.threshold and first.eval_accuracy <= EVAL_THRESHOLD:
        causes.append(
            f"train mode reaches {first.accuracy:.0%} but eval mode only {first.eval_accuracy:.0%} on the same batch: "
            "a layer behaves differently in evaluation (BatchNorm statistics, dropout)"
        )
    causes += [f"{check.name}: {check.detail}" for check in checkup.checks if not check.passed]
    if count := contradictions(batch):
        causes.append(f"{count} samples of the batch are identical to a sample with another label")
    trainable, total = checkup.parameters.trainable, checkup.parameters.total
    if trainable < total / 2:
        causes.append(f"only {trainable:,} of {total:,} parameters train: unfreeze more")
    if spec.dropout and better is None:
        causes.append("dropout was left on: without it a batch is learned faster")
    weakest = checkup.statistics.get("weakest_gradient")
    if better is None and isinstance(weakest, float) and weakest < VANISHING_NORM:
        causes.append(
            f"hardly any gradient reaches {checkup.statistics['weakest_gradient_of']} (norm {weakest:.1e}): it "
            "vanishes on its way back through the layers; ReLU, `he` weights, batch norm or fewer layers let it through"
        )
    if better is None and max(attempt.accuracy for attempt in attempts) < 0.5:
        causes.append("at none of the learning rates does the loss fall much: look at the labels and the capacity")
    return causes or [
        f"the batch was learned to {first.accuracy:.0%} only: more steps, a larger network, or a learning rate between "
        "those that were tried"
    ]


def contradictions(batch: Batch) -> int:
    """Samples that no network can tell from a sample with another label."""
    flat_BX = batch.inputs.flatten(1)
    _, group_B = flat_BX.unique(dim=0, return_inverse=True)
    pairs = torch.stack([group_B, batch.labels_B.to(group_B.device)], 1).unique(dim=0)
    mixed = pairs[:, 0].bincount() > 1
    return int(mixed[group_B].sum())
