"""D3: validation images are prepared otherwise than training images (common error 10), or val is other data."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import Epoch, RunRecord
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin, median_of_three, over_chance
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
    """Training samples lose more through the val pipeline; or val stays at chance while train is learned."""
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
    """Train accuracy left chance and val accuracy never did."""
    clean, val = record.clean_accuracy(), record.curve("val", "accuracy")
    if len(val) < t.OTHER_DATA_EPOCHS or not clean:
        return None
    chance, best = 1 / record.classes, max(median_of_three(val)[1:])
    learned = over_chance(clean[-1], record.classes)
    at_chance = learned >= t.LEARNED_OVER_CHANCE and best <= chance + 3 * record.accuracy_error(chance)
    far_behind = learned >= t.WELL_LEARNED_OVER_CHANCE and over_chance(best, record.classes) < t.UNLEARNED_OVER_CHANCE
    if not (at_chance or far_behind):
        return None
    epoch = record.epochs[-1]
    return Finding(
        rule="D3",
        severity="critical",
        confidence=0.8,
        epoch=epoch.number,
        step=epoch.step,
        evidence={
            "train_accuracy_percent": 100 * clean[-1],
            "best_val_accuracy_percent": 100 * max(val),
            "chance_accuracy_percent": 100 * chance,
            "val_loss": epoch.val.get("loss"),
            "guessing_loss": record.guessing_loss,
            "epochs": len(val),
        },
        explanation=(
            f"The model learns the training data ({100 * clean[-1]:.0f} % right), yet on validation it hardly got past "
            f"guessing ({100 * max(val):.0f} % at best, guessing gives {100 * chance:.0f} %). Overfitting still beats "
            "guessing; this says that the validation samples are unlike the training ones, or that in one of the two "
            "the labels do not belong to their samples."
        ),
        remedy=DATA_WORDS,
    )


RULE = Rule("D3", "pipeline_mismatch", judge, ("validation",), ("D5", "D6", "D7", "D12", "D16"))
