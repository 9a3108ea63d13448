"""Checks of duplicates: copies, near copies, leakage between splits, contradicting labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.reports.finding import Finding
from worker.importing.checks.dataset_view import Survey
from worker.importing.findings import SHOWN, finding

SERIOUS_SHARE = 0.01
MAX_GROUPS = 100
MAX_GROUP = 50


def count_duplicates(survey: Survey) -> dict[str, int]:
    """Samples concerned: in exact and in near groups, held out with a twin in another split, with another label."""
    exact, near = (survey.members(groups) for groups in (survey.duplicates.exact_N, survey.duplicates.near_N))
    return {
        "exact": sum(len(group) for group in exact),
        "near": sum(len(group) for group in near),
        "cross_split": len(leaked(survey)),
        "contradicting": sum(len(group) for group in contradicting(survey, survey.duplicates.exact_N)),
    }


def name_groups(survey: Survey) -> list[list[str]]:
    """Names of the samples in each group, the largest groups first."""
    groups = survey.members(survey.duplicates.near_N)[:MAX_GROUPS]
    return [[survey.name(int(index)) for index in group[:MAX_GROUP]] for group in groups]


def leaked(survey: Survey) -> NDArray[np.int64]:
    """Held-out samples whose double is in a split before theirs (train, then val, then test)."""
    parts = [
        group[survey.split_N[group] > survey.split_N[group].min()] for group in survey.members(survey.duplicates.near_N)
    ]
    return np.concatenate([*parts, np.zeros(0, np.int64)])


def contradicting(survey: Survey, groups_N: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups whose members have different labels."""
    return [group for group in survey.members(groups_N) if len(np.unique(survey.raw.y[group])) > 1]


def check_exact(survey: Survey) -> Finding | None:
    """P7: the same sample more than once."""
    groups = survey.members(survey.duplicates.exact_N)
    if not groups:
        return None
    copies = sum(len(group) - 1 for group in groups)
    return finding(
        "P7", "exact_duplicates", "warning" if copies > SERIOUS_SHARE * len(survey.raw.y) else "info",
        f"{copies:,} samples are copies of others. Copies weigh more in training than they should.",
        "Import it again with `drop_duplicates`, which keeps one of each.",
        copies=copies, groups=len(groups), samples=len(survey.raw.y), examples=_examples(survey, groups),
    )  # fmt: skip


def check_near(survey: Survey) -> Finding | None:
    """P8: pictures that show the same with small changes."""
    exact_N = survey.duplicates.exact_N
    groups = [group for group in survey.members(survey.duplicates.near_N) if len(np.unique(exact_N[group])) > 1]
    if not groups:
        return None
    concerned = sum(len(group) for group in groups)
    return finding(
        "P8", "near_duplicates", "info",
        f"{concerned:,} pictures are nearly the same as others (resized, recompressed, retouched). Splits that the "
        "import draws keep them together, so that validation does not ask what training has shown.",
        "Nothing, unless there are many: then the dataset is smaller than it looks.",
        samples_concerned=concerned, groups=len(groups), examples=_examples(survey, groups),
    )  # fmt: skip


def check_leakage(survey: Survey) -> Finding | None:
    """P9: held-out samples that training has seen."""
    doubles = leaked(survey)
    if not len(doubles):
        return None
    shares = {
        f"share_of_{split}": float(np.isin(np.flatnonzero(survey.split_N == number), doubles).mean())
        for number, split in ((1, "val"), (2, "test"))
        if (survey.split_N == number).any()
    }
    return finding(
        "P9", "leakage", "critical" if max(shares.values()) > SERIOUS_SHARE else "warning",
        f"{len(doubles):,} held-out samples have a double in another split. The network is asked what it has learned "
        "by heart, and the score is better than the network.",
        "Import it again with `drop_duplicates`, or without splits of its own: the import then keeps doubles together.",
        samples_concerned=len(doubles), examples=[survey.name(int(each)) for each in doubles[:SHOWN]], **shares,
    )  # fmt: skip


def check_contradictions(survey: Survey) -> Finding | None:
    """P10: the same sample under different labels."""
    exact = contradicting(survey, survey.duplicates.exact_N)
    groups = exact or contradicting(survey, survey.duplicates.near_N)
    if not groups:
        return None
    concerned = sum(len(group) for group in groups)
    share = concerned / len(survey.raw.y)
    what = "equal" if exact else "nearly equal"
    return finding(
        "P10", "contradicting_labels", "warning" if exact and share > SERIOUS_SHARE else "info",
        f"{concerned:,} samples are {what} to others that have another label. No network can get all of them right.",
        "Look at them and correct the labels, or leave them out.",
        samples_concerned=concerned, share=share, examples=_examples(survey, groups, labels=True),
    )  # fmt: skip


def _examples(survey: Survey, groups: Sequence[NDArray[np.int64]], *, labels: bool = False) -> list[str]:
    """The first groups in words."""
    shown = []
    for group in groups[:SHOWN]:
        names = [
            survey.name(int(index)) + (f" ({survey.raw.classes[survey.raw.y[index]]})" if labels else "")
            for index in group[:4]
        ]
        shown.append(" = ".join(names) + (f" and {len(group) - 4} more" if len(group) > 4 else ""))
    return shown
