"""D12: both losses stand still and high: the model cannot, or may not, fit the data."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import Patch, capacity, default_lr_patch, higher_lr, lr_is_gone, unrestrained
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
    overregularised = is_overregularised(record)
    target = t.LR_GONE_TARGET if lr_is_gone(record) else t.TARGET_ACCURACY
    reached = over_chance(accuracies[-1], record.classes)
    too_low = reached < target and _gap(record, accuracies[-1]) < t.PLATEAU_GAP
    if not (stands or record.ended) or not (too_low or overregularised):
        return None
    patch = _patch(record)
    last = record.epochs[-1]
    return Finding(
        rule="D12",
        severity="warning",
        confidence=0.9 if overregularised else round(0.6 + 0.35 * (1 - reached / target), 2),
        epoch=last.number,
        step=last.step,
        evidence={
            "train_accuracy_percent": 100 * accuracies[-1],
            "train_accuracy_while_training_percent": 100 * last.train.get("accuracy", accuracies[-1]),
            "chance_accuracy_percent": 100 / record.classes,
            "train_loss": losses[-1],
            "guessing_loss": record.guessing_loss,
            "fall_per_epoch_nats": fall * record.guessing_loss,
        },
        explanation=(
            _overregularised_words(record)
            if overregularised and patch != default_lr_patch(record)
            else _words(record, accuracies[-1], stands, patch)
        ),
        remedy=Remedy(text=_text(record, patch), patch=patch),
    )


def is_overregularised(record: RunRecord) -> bool:
    """With dropout and augmentation at work the model still guesses, whatever it does without them."""
    while_training = over_chance(record.epochs[-1].train.get("accuracy", 1.0), record.classes)
    return while_training < t.LEARNED_OVER_CHANCE and record.clean_loss()[-1] > t.LEARNED * record.guessing_loss


def _words(record: RunRecord, accuracy: float, stands: bool, patch: Patch) -> str:
    return (
        f"The model underfits: after {len(record.epochs)} epochs it is right on only {100 * accuracy:.0f} % of the "
        f"samples it was trained on (chance is {100 / record.classes:.0f} %), and validation is no better, so this is "
        "not overfitting. "
        + ("The loss stands still. " if stands else "The loss is still falling, but too slowly for the epochs it had. ")
        + _cause(record, patch)
    )


def _cause(record: RunRecord, patch: Patch) -> str:
    if lr_is_gone(record):
        return "The schedule took the learning rate to practically 0 in most epochs, and nothing is learned at 0."
    if patch and patch == default_lr_patch(record):
        return (
            f"The learning rate, {record.lr:.3g}, is far above the usual {record.usual_lr:.3g} of "
            f"{record.spec.optimizer.name}: its steps are so large that they leap over what they look for."
        )
    return (
        "The network is too small, regularised too strongly, given a poor learning rate, or the data do not tell the "
        "classes apart."
    )


def _overregularised_words(record: RunRecord) -> str:
    while_training, clean = 100 * record.epochs[-1].train.get("accuracy", 0.0), 100 * record.clean_accuracy()[-1]
    return (
        f"The model underfits: after {len(record.epochs)} epochs it is right on only {while_training:.0f} % of the "
        f"samples while it trains (chance is {100 / record.classes:.0f} %); when nothing random disturbs it, on "
        f"{clean:.0f} %. What is random in training (dropout, augmentation, mixup) hides so much that hardly anything "
        f"is learned: the loss is still {record.clean_loss()[-1]:.2g}, where guessing gives {record.guessing_loss:.2g}."
    )


def _gap(record: RunRecord, train_accuracy: float) -> float:
    val = record.curve("val", "accuracy")
    return train_accuracy - val[-1] - 2 * record.accuracy_error(val[-1]) if val else 0.0


def _patch(record: RunRecord) -> Patch:
    """Takes away what holds the model back, or steps that are far too large; when nothing does, gives it capacity, or a
    higher rate and more time.
    """
    more = capacity(record) if record.lr >= record.usual_lr else {}
    return (
        unrestrained(record)
        or default_lr_patch(record)
        or more
        or higher_lr(record) | {"epochs": 2 * record.spec.epochs}
    )


def _text(record: RunRecord, patch: Patch) -> str:
    is_lower = patch.get("optimizer.lr", record.lr) < record.lr
    parts = {
        "model.dropout": "less dropout",
        "optimizer.weight_decay": "less weight decay",
        "augment": "weaker augmentation",
        "model.mode": "more trainable layers",
        "model.hidden": "a larger network",
        "model.channels": "a larger network",
        "optimizer.lr": "a lower learning rate" if is_lower else "a higher learning rate",
        "epochs": "more epochs",
        "schedule": "a learning rate that lasts to the end",
    }
    return (
        "Try "
        + ", ".join(words for path, words in parts.items() if path in patch)
        + ". Check the data with a `sanity` "
        "job too: a model that cannot learn one batch by heart has another fault."
    )


RULE = Rule("D12", "underfit_plateau", judge, ("epochs",))
