"""Checks of duplicates: copies, near copies, leakage between splits, contradicting labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.reports.finding import Finding
from worker.importing.checks.dataset_view import DatasetView
from worker.importing.findings import SHOWN, finding

SERIOUS_SHARE = 0.01
MAX_GROUPS = 100
MAX_GROUP = 50


def count_duplicates(dataset: DatasetView) -> dict[str, int]:
    """Samples concerned: in exact and in near groups, held out with a twin in another split, with another label."""
    exact, near = (dataset.members(groups) for groups in (dataset.duplicates.exact_N, dataset.duplicates.near_N))
    return {
        "exact": sum(len(group) for group in exact),
        "near": sum(len(group) for group in near),
        "cross_split": len(leaked(dataset)),
        "contradicting": sum(len(group) for group in contradicting(dataset, dataset.duplicates.exact_N)),
    }


def name_groups(dataset: DatasetView) -> list[list[str]]:
    """Names of the samples in each group, the largest groups first."""
    groups = dataset.members(dataset.duplicates.near_N)[:MAX_GROUPS]
    return [[dataset.name(int(index)) for index in group[:MAX_GROUP]] for group in groups]


def leaked(dataset: DatasetView) -> NDArray[np.int64]:
    """Held-out samples whose double is in a split before theirs (train, then val, then test)."""
    parts = [
        group[dataset.split_N[group] > dataset.split_N[group].min()]
        for group in dataset.members(dataset.duplicates.near_N)
    ]
    return np.concatenate([*parts, np.zeros(0, np.int64)])


def contradicting(dataset: DatasetView, groups_N: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups whose members have different labels."""
    return [group for group in dataset.members(groups_N) if len(np.unique(dataset.raw.y[group])) > 1]


def check_exact(dataset: DatasetView) -> Finding | None:
    """P7: the same sample more than once."""
    groups = dataset.members(dataset.duplicates.exact_N)
    if not groups:
        return None
    copies = sum(len(group) - 1 for group in groups)
    if dataset.duplicates.by_chance:
        return finding(
            "P7", "info",
            f"{copies:,} rows are equal to others, about as many as columns of so few values make by chance. They "
            "count as cases of their own, and splits are drawn without regard to them.",
            "Nothing; where they are copies, import it again with `drop_duplicates`.",
            copies=copies, groups=len(groups), samples=len(dataset.raw.y), examples=_examples(dataset, groups),
        )  # fmt: skip
    return finding(
        "P7", "warning" if copies > SERIOUS_SHARE * len(dataset.raw.y) else "info",
        f"{copies:,} samples are copies of others. Copies weigh more in training than they should.",
        "Import it again with `drop_duplicates`, which keeps one of each.",
        copies=copies, groups=len(groups), samples=len(dataset.raw.y), examples=_examples(dataset, groups),
    )  # fmt: skip


def check_near(dataset: DatasetView) -> Finding | None:
    """P8: pictures that show the same with small changes."""
    exact_N = dataset.duplicates.exact_N
    groups = [group for group in dataset.members(dataset.duplicates.near_N) if len(np.unique(exact_N[group])) > 1]
    if not groups:
        return None
    concerned = sum(len(group) for group in groups)
    return finding(
        "P8", "info",
        f"{concerned:,} pictures are nearly the same as others (resized, recompressed, retouched). Splits that the "
        "import draws keep them together as far as each class can still give its share.",
        "Nothing, unless there are many: then the dataset is smaller than it looks.",
        samples_concerned=concerned, groups=len(groups), examples=_examples(dataset, groups),
    )  # fmt: skip


def check_leakage(dataset: DatasetView) -> Finding | None:
    """P9: held-out samples that training has seen."""
    doubles = leaked(dataset)
    if not len(doubles) or dataset.duplicates.by_chance:
        return None
    shares = {
        f"share_of_{split}": float(np.isin(np.flatnonzero(dataset.split_N == number), doubles).mean())
        for number, split in ((1, "val"), (2, "test"))
        if (dataset.split_N == number).any()
    }
    if dataset.raw.split is None:
        return finding(
            "P9", "warning",
            f"{len(doubles):,} held-out samples have a double in another split: so many samples are alike that without "
            "parting them a class could not give its share. Scores tell of samples such as these, not of new ones.",
            "Gather samples that differ more, or bring splits of your own (by day, by machine, by patient).",
            samples_concerned=len(doubles), examples=[dataset.name(int(index)) for index in doubles[:SHOWN]], **shares,
        )  # fmt: skip
    return finding(
        "P9", "critical" if max(shares.values()) > SERIOUS_SHARE else "warning",
        f"{len(doubles):,} held-out samples have a double in another split. The network is asked what it has learned "
        "by heart, and the score is better than the network.",
        "Import it again with `drop_duplicates`, or without splits of its own: the import then keeps doubles together.",
        samples_concerned=len(doubles), examples=[dataset.name(int(index)) for index in doubles[:SHOWN]], **shares,
    )  # fmt: skip


def check_contradictions(dataset: DatasetView) -> Finding | None:
    """P10: the same sample under different labels."""
    exact = contradicting(dataset, dataset.duplicates.exact_N)
    groups = exact or contradicting(dataset, dataset.duplicates.near_N)
    if not groups:
        return None
    concerned = sum(len(group) for group in groups)
    share = concerned / len(dataset.raw.y)
    what = "equal" if exact else "nearly equal"
    return finding(
        "P10", "warning" if exact and share > SERIOUS_SHARE else "info",
        f"{concerned:,} samples are {what} to others that have another label. No network can get all of them right.",
        "Look at them and correct the labels, or leave them out.",
        samples_concerned=concerned, share=share, examples=_examples(dataset, groups, labels=True),
    )  # fmt: skip


def _examples(dataset: DatasetView, groups: Sequence[NDArray[np.int64]], *, labels: bool = False) -> list[str]:
    """The first groups in words."""
    shown = []
    for group in groups[:SHOWN]:
        names = [
            dataset.name(int(index)) + (f" ({dataset.raw.classes[dataset.raw.y[index]]})" if labels else "")
            for index in group[:4]
        ]
        shown.append(" = ".join(names) + (f" and {len(group) - 4} more" if len(group) > 4 else ""))
    return shown
