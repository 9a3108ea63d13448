"""D2: the inputs are not normalised (common error 1)."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.dataset import DatasetMeta
from service.reports.finding import Finding, Remedy
from service.resolution.defaults import normalisation
from service.specs.model import TorchvisionSpec

CONSTANT = 1e-6


def judge(record: RunRecord) -> Finding | None:
    """A channel (or feature) whose mean is away from 0 or whose spread is away from 1, as the model receives it."""
    if record.profile is None or _pretrained_on_imagenet(record):
        return None
    meta = record.profile.meta
    means, stds = received(meta, record.spec.preprocess.normalize)
    bad = [i for i, pair in enumerate(zip(means, stds, strict=True)) if _is_off(*pair)]
    if not bad:
        return None
    worst = max(bad, key=lambda i: abs(means[i]) / max(stds[i], CONSTANT) + stds[i])
    what = "channel" if meta.modality == "image" else "feature"
    samples = meta.counts.get("train", 0)
    return Finding(
        rule="D2",
        severity="warning",
        confidence=0.95 if samples >= t.INPUT_SAMPLES else 0.7,
        evidence={
            "mean_of_worst": means[worst],
            "standard_deviation_of_worst": stds[worst],
            f"{what}s_off_scale": len(bad),
            f"{what}s": len(means),
            "normalize": record.spec.preprocess.normalize,
            "train_samples": samples,
        },
        explanation=(
            f"The inputs are not on the scale that networks learn well from. {len(bad)} of {len(means)} {what}(s) are "
            f"off: the worst has mean {means[worst]:.3g} and standard deviation {stds[worst]:.3g}, where mean 0 and "
            "standard deviation 1 are wanted. Off-scale inputs make the loss fall slowly or not at all, because one "
            "learning rate cannot suit weights that see large and small numbers."
            + (" Batch norm behind the first layer makes up for part of it." if _has_batch_norm(record) else "")
        ),
        remedy=_remedy(record),
    )


def received(meta: DatasetMeta, normalize: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel or feature after the normalisation, from the train split's own.

    A feature that never varies says nothing about scale and counts as 0 and 1.
    """
    pairs = [
        ((mean - shift) / scale, std / scale) if std > CONSTANT else (0.0, 1.0)
        for mean, std, shift, scale in zip(meta.mean, meta.std, *normalisation(meta, normalize), strict=True)
    ]
    return [mean for mean, _ in pairs], [std for _, std in pairs]


def _is_off(mean: float, std: float) -> bool:
    return abs(mean) > t.INPUT_MEAN or not t.INPUT_STD[0] <= std <= t.INPUT_STD[1]


def _pretrained_on_imagenet(record: RunRecord) -> bool:
    model = record.spec.model
    return (
        isinstance(model, TorchvisionSpec)
        and model.weights is not None
        and (record.spec.preprocess.normalize == "imagenet")
    )


def _has_batch_norm(record: RunRecord) -> bool:
    return getattr(record.spec.model, "batch_norm", False)


def _remedy(record: RunRecord) -> Remedy:
    if record.spec.preprocess.normalize == "dataset":
        return Remedy(text="Look at the dataset's profile: some inputs lie far outside the range of the others.")
    return Remedy(
        text=(
            "Normalise with the train split's own mean and standard deviation (`preprocess.normalize: dataset`); the "
            "service then applies the same numbers to val, test and predictions."
        ),
        patch={"preprocess.normalize": "dataset"},
    )


RULE = Rule("D2", "input_scale", judge, ("profile",), ("D14",))
