"""Checks of labels and splits: classes that are missing, rare or in order."""

import numpy as np

from service.reports.dataset import SPLITS
from service.reports.finding import Finding
from worker.importing.checks.dataset_view import DatasetView
from worker.importing.findings import SHOWN, finding

MAX_RATIO = 10.0
FEW = 10
ORDERED = 0.9
"""Share of neighbours with the same label above which the samples are in the order of their labels."""


def check_missing(dataset: DatasetView) -> Finding | None:
    """P5: a class that a split has no sample of."""
    missing = {
        split: [dataset.raw.classes[index] for index in np.flatnonzero(dataset.counts(split) == 0)]
        for split in SPLITS
        if dataset.meta.counts[split]
    }
    missing = {split: names for split, names in missing.items() if names}
    if not missing:
        return None
    in_train = "train" in missing
    return finding(
        "P5", "critical" if in_train else "warning",
        "A class without a sample in " + " and ".join(missing) + ". "
        + ("It cannot be learned." if in_train else "What is reported of it there means nothing."),
        "Add samples of it, or let the import draw the splits.",
        **{f"missing_in_{split}": names[:SHOWN] for split, names in missing.items()},
    )  # fmt: skip


def check_empty(dataset: DatasetView) -> Finding | None:
    """P32: no sample to validate or to test with."""
    empty = [split for split in SPLITS if dataset.meta.counts[split] == 0]
    if not empty:
        return None
    needs_val = "val" in empty
    return finding(
        "P32", "warning" if needs_val else "info",
        f"There is no sample in {' and '.join(empty)}. "
        + ("A training that validates fails: no sample shows whether it overfits." if needs_val
           else "What is chosen on val cannot be confirmed on samples that had no part in the choice."),
        "Import it again with a share for each (`split`: `val` and `test`), or with more samples of each class.",
        **{split: dataset.meta.counts[split] for split in SPLITS},
    )  # fmt: skip


def check_imbalance(dataset: DatasetView) -> Finding | None:
    """P6: one class has far more samples than another."""
    counts = dataset.counts("train")
    present = counts[counts > 0]
    if not len(present) or present.max() <= MAX_RATIO * present.min():
        return None
    rare, common = (int(np.flatnonzero(counts == value)[0]) for value in (present.min(), present.max()))
    return finding(
        "P6", "warning",
        f"`{dataset.raw.classes[common]}` has {counts[common]:,} training samples, `{dataset.raw.classes[rare]}` "
        f"{counts[rare]:,}. A network that always guesses the common classes looks good.",
        'Set `"class_weights": "balanced"`, look at the macro averages, or gather more of the rare classes.',
        ratio=float(present.max() / present.min()), limit=MAX_RATIO, rarest=dataset.raw.classes[rare],
        commonest=dataset.raw.classes[common],
    )  # fmt: skip


def check_few_samples(dataset: DatasetView) -> Finding | None:
    """P11: classes with hardly any samples."""
    counts = dataset.counts("train")
    rare = np.flatnonzero((counts > 0) & (counts < FEW))
    if not len(rare):
        return None
    return finding(
        "P11", "info",
        f"{len(rare):,} classes have fewer than {FEW} training samples; what is said of them is a guess.",
        "Gather more, or start from pretrained weights (`mode`: `feature_extraction`).",
        count=len(rare), examples=[f"{dataset.raw.classes[index]}: {counts[index]}" for index in rare[:SHOWN]],
    )  # fmt: skip


def check_sorted(dataset: DatasetView) -> Finding | None:
    """P12: the samples come class by class."""
    y = dataset.raw.y[dataset.split_N == 0]
    if not dataset.raw.is_ordered or len(y) < 50:
        return None
    alike = float((y[1:] == y[:-1]).mean())
    by_chance = float(((dataset.counts("train") / len(y)) ** 2).sum())
    if alike < ORDERED or alike < by_chance + 0.2:
        return None
    return finding(
        "P12", "info",
        f"The samples come class by class: {alike:.0%} of neighbours have the same label, by chance {by_chance:.0%}. "
        "Batches in this order would each show one class only.",
        "Leave `shuffle` on, as it is by default.",
        neighbours_alike=alike, by_chance=by_chance,
    )  # fmt: skip
