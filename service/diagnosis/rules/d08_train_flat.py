"""D8: the training loss does not move."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import Patch, default_lr_patch, dropout, higher_lr, normalising_layers, unrestrained
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The clean train loss changes by less than 5 % of ln K and is still near ln K."""
    losses = record.clean_loss()
    if not _is_flat(record, losses):
        return None
    last, patch = record.epochs[-1], _patch(record)
    return Finding(
        rule="D8",
        severity="critical",
        confidence=0.85,
        epoch=last.number,
        step=last.step,
        evidence={
            "first_train_loss": losses[0],
            "train_loss": losses[-1],
            "guessing_loss": record.guessing_loss,
            "epochs": len(losses),
            "learning_rate": record.lr,
        },
        explanation=(
            f"The training loss does not move: {losses[0]:.3g} after the first epoch, {losses[-1]:.3g} after "
            f"{len(losses)}. Guessing gives {record.guessing_loss:.3g}, so next to nothing has been learned. "
            + _causes(record, patch)
        ),
        remedy=Remedy(
            text=(
                "Run a `sanity` job first: a model that cannot learn 64 samples by heart has a bug, and no learning "
                "rate will mend it. If it passes, change what this finding names, and let an `lr-find` job suggest "
                "the rate."
            ),
            patch=patch,
        ),
    )


def _is_flat(record: RunRecord, losses: list[float]) -> bool:
    """Whether there is enough of the curve and its later half stands still near guessing."""
    if len(losses) < t.FLAT_MIN_EPOCHS or record.steps < t.FLAT_MIN_STEPS:
        return False
    recent = losses if len(losses) < 2 * t.FLAT_MIN_EPOCHS else losses[len(losses) // 2 :]
    moved, guessing = max(recent) - min(recent), record.guessing_loss
    return moved < t.FLAT_CHANGE * guessing and losses[-1] > t.FLAT_LEVEL * guessing


def _causes(record: RunRecord, patch: Patch) -> str:
    """What in the spec is the likeliest cause, when something is."""
    spec = record.spec
    words = {
        "model.dropout": f"dropout switches off {100 * dropout(record):.0f} % of the units in every step",
        "optimizer.weight_decay": f"weight decay ({spec.optimizer.weight_decay}) pulls every weight towards 0",
        "augment": "augmentation changes the images too much",
        "model.mode": "most layers are frozen",
        "schedule": "the schedule took the learning rate to practically 0 in most epochs",
        "model.hidden": "a layer has too few units to let the signal through",
        "model.activation": "the activation weakens the signal from layer to layer",
    }
    named = [text for path, text in words.items() if path in patch]
    if named:
        return f"The likeliest cause in this spec: {' and '.join(named)}."
    return (
        f"Either the learning rate ({record.lr:.2g}) is far off, or something is broken: labels that do not belong to "
        "their samples, a layer that passes no signal, or inputs without information."
    )


def _patch(record: RunRecord) -> Patch:
    """What restrains the model goes first; then a learning rate far above the usual; then layers and a higher rate."""
    return unrestrained(record) or default_lr_patch(record) or normalising_layers(record) or higher_lr(record)


RULE = Rule("D8", "train_flat", judge, ("epochs",), ("D12",))
