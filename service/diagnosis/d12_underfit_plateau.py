"""D12: both losses stand still and high: the model cannot, or may not, fit the data."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord, default_lr
from service.diagnosis.remedy import Patch, capacity, higher_lr, unrestrained
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import over_chance, slope
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The run stands still (or ended) with a train accuracy far below what can be expected, and val close to train."""
    losses, accuracies = record.clean_loss(), record.clean_accuracy()
    if len(losses) < t.PLATEAU_EPOCHS or len(accuracies) < t.PLATEAU_EPOCHS:
        return None
    fall = -slope(losses[-t.PLATEAU_EPOCHS :]) / record.guessing_loss
    stands = abs(fall) < t.PLATEAU_SLOPE
    reached = over_chance(accuracies[-1], record.classes)
    if not (stands or record.ended) or reached >= t.TARGET_ACCURACY or _gap(record, accuracies[-1]) >= t.PLATEAU_GAP:
        return None
    patch = _patch(record)
    last = record.epochs[-1]
    return Finding(
        rule="D12",
        severity="warning",
        confidence=round(0.6 + 0.35 * (1 - reached / t.TARGET_ACCURACY), 2),
        epoch=last.number,
        step=last.step,
        evidence={
            "train_accuracy_percent": 100 * accuracies[-1],
            "chance_accuracy_percent": 100 / record.classes,
            "train_loss": losses[-1],
            "guessing_loss": record.guessing_loss,
            "fall_per_epoch_nats": fall * record.guessing_loss,
        },
        explanation=(
            f"The model underfits: after {len(losses)} epochs it is right on only {100 * accuracies[-1]:.0f} % of "
            f"the samples it was trained on (chance is {100 / record.classes:.0f} %), and validation is no better, "
            "so this is not overfitting. "
            + (
                "The loss stands still. "
                if stands
                else "The loss is still falling, but too slowly for the epochs it had. "
            )
            + "The network is too small, regularised too strongly, given a poor learning rate, or the data do not "
            "tell the classes apart."
        ),
        remedy=Remedy(text=_text(patch), patch=patch),
    )


def _gap(record: RunRecord, train_accuracy: float) -> float:
    val = record.curve("val", "accuracy")
    return train_accuracy - val[-1] - 2 * record.accuracy_error(val[-1]) if val else 0.0


def _patch(record: RunRecord) -> Patch:
    """Takes away what holds the model back; when nothing does, gives it capacity, or a higher rate and more time."""
    more = capacity(record) if record.lr >= default_lr(record.spec.optimizer) else {}
    return unrestrained(record) or more or higher_lr(record) | {"epochs": 2 * record.spec.epochs}


def _text(patch: Patch) -> str:
    parts = {
        "model.dropout": "less dropout",
        "optimizer.weight_decay": "less weight decay",
        "augment": "weaker augmentation",
        "model.mode": "more trainable layers",
        "model.hidden": "a larger network",
        "model.channels": "a larger network",
        "optimizer.lr": "a higher learning rate",
        "epochs": "more epochs",
        "schedule": "a learning rate that lasts to the end",
    }
    return (
        "Try "
        + ", ".join(words for path, words in parts.items() if path in patch)
        + ". Check the data with a `sanity` "
        "job too: a model that cannot learn one batch by heart has another fault."
    )


RULE = Rule("D12", "underfit_plateau", judge, ("probes",))
