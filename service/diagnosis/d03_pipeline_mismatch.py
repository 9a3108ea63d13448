"""D3: validation images are prepared otherwise than training images (error 10), or val is other data altogether."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import Epoch, RunRecord
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy

PIPELINE_WORDS = Remedy(
    text=(
        "Compare the two transforms line by line: validation must use the same resize, the same value range and the "
        "same mean and standard deviation as training, and none of its random operations. Share one function for "
        "both."
    )
)
DATA_WORDS = Remedy(
    text=(
        "Compare a few val samples with train samples of the same class (`/v1/datasets/{id}/samples/{n}`): look for "
        "classes in another order, inverted colours, another value range or another source. Then import the data "
        "again, or let the service draw the split."
    )
)


def judge(record: RunRecord) -> Finding | None:
    """Training samples lose more through the val pipeline; or val is worse than guessing once train is learned."""
    return _pipelines_differ(record) or _data_differ(record)


def _pipelines_differ(record: RunRecord) -> Finding | None:
    gaps = [(epoch, gap) for epoch in record.epochs if (gap := _pipeline_gap(epoch)) is not None]
    recent = gaps[-t.PIPELINE_EPOCHS :]
    if len(recent) < t.PIPELINE_EPOCHS or any(gap <= t.PIPELINE_GAP for _, gap in recent):
        return None
    epoch, gap = recent[-1]
    return Finding(
        rule="D3",
        severity="critical",
        confidence=margin(gap, t.PIPELINE_GAP),
        epoch=epoch.number,
        step=epoch.step,
        evidence={
            "loss_through_train_pipeline": epoch.probes["clean_loss"],
            "loss_through_validation_pipeline": epoch.probes["val_pipeline_loss"],
            "difference_nats": gap,
        },
        explanation=(
            "The very same training images get a much higher loss when they are prepared as validation images are "
            f"({epoch.probes['val_pipeline_loss']:.3g}) than when prepared as training images "
            f"({epoch.probes['clean_loss']:.3g}). So the two preparations (resize, value range, normalisation) "
            "differ, and every validation number of this run is wrong. It looks like overfitting, and is not."
        ),
        remedy=PIPELINE_WORDS,
    )


def _pipeline_gap(epoch: Epoch) -> float | None:
    through_val, through_train = epoch.probes.get("val_pipeline_loss"), epoch.probes.get("clean_loss")
    return None if through_val is None or through_train is None else through_val - through_train


def _data_differ(record: RunRecord) -> Finding | None:
    """Val loss above guessing in every epoch in which the train loss was already low."""
    level = record.guessing_loss
    learned = [
        epoch
        for epoch in record.epochs
        if epoch.probes.get("clean_loss", epoch.train.get("loss", level)) < t.LEARNED * level
        and epoch.val.get("loss") is not None
    ]
    if len(learned) < t.PIPELINE_EPOCHS or any(not _unlearned(epoch, record) for epoch in learned):
        return None
    epoch = learned[-1]
    clean = epoch.probes.get("clean_loss", epoch.train.get("loss", 0.0))
    return Finding(
        rule="D3",
        severity="critical",
        confidence=0.8,
        epoch=learned[0].number,
        step=epoch.step,
        evidence={
            "train_loss": clean,
            "val_loss": epoch.val["loss"],
            "guessing_loss": level,
            "val_accuracy": epoch.val.get("accuracy"),
            "epochs": len(learned),
        },
        explanation=(
            f"The model has learned the training data (loss {clean:.3g}) and from the start does worse on validation "
            f"than guessing would (val loss {epoch.val['loss']:.3g}, guessing gives {level:.3g}). Overfitting comes "
            "slowly and still beats guessing; this says that validation samples or their labels are unlike the "
            "training ones."
        ),
        remedy=DATA_WORDS,
    )


def _unlearned(epoch: Epoch, record: RunRecord) -> bool:
    near_chance = epoch.val.get("accuracy", 0.0) < 2 / record.classes
    return epoch.val["loss"] > t.UNLEARNED * record.guessing_loss and near_chance


RULE = Rule("D3", "pipeline_mismatch", judge, ("validation", "probes"), ("D5", "D6", "D7", "D12", "D16"))
