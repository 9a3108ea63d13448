"""Which arrays of an archive are samples, labels and splits, whatever people call them.

`X` and `y`, `x_train` and `Y_train`, `train_images` and `train_labels`, `Xtr`, `X_validation`, `arr_0` and `arr_1`.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.reports.dataset import SPLITS
from service.reports.finding import Finding
from worker.importing.findings import SHOWN, finding
from worker.importing.names import printable
from worker.importing.split_names import SHORT_WORDS, split_of, tokens
from worker.importing.splits import SPLIT_NAMES, TEST, TRAIN, VAL

Array = NDArray[Any]
SAMPLES = ("x", "data", "images", "image", "imgs", "img", "features", "inputs", "input", "samples", "xs", "array")
LABELS = ("y", "labels", "label", "target", "targets", "ys", "class", "output", "outputs")
SPLIT_WORDS = SPLIT_NAMES | SHORT_WORDS
PLAIN_WORDS = {"set", "the", "dataset"}
UNNAMED = re.compile(r"arr_\d+")
"""What `np.savez` calls arrays without names."""


class Role(NamedTuple):
    """What an array is by its name."""

    is_label: bool
    split: int | None
    rank: int
    """The smaller, the more usual the word."""


@dataclass
class Parts:
    """Names of samples and labels that belong together, and the split of each pair, where there are splits."""

    pairs: list[tuple[str, str]]
    splits: list[int] | None
    split_N: NDArray[np.uint8] | None = None
    """The split of each sample, where an array tells it."""
    said: list[str] = field(default_factory=list)
    is_doubtful: bool = False
    """Whether something was left out that may have been meant."""

    def note(self) -> Finding | None:
        """P31: what was decided or left out."""
        if not self.said:
            return None
        return finding(
            "P31", "warning" if self.is_doubtful else "info",
            f"The arrays were read as follows: {'; '.join(self.said[:SHOWN])}.",
            "Nothing, if that is what was meant; else call the arrays `X_train`, `y_train`, `X_val`, `y_val`, `X_test` "
            "and `y_test`.",
            count=len(self.said), examples=self.said[:SHOWN],
        )  # fmt: skip


def find_parts(arrays: Mapping[str, Array], known: Collection[str] = ()) -> Parts:
    """The pairs in the order train, val, test; ImportRefusedError without any to train on.

    `known` arrays have another meaning (names of classes).
    """
    names = [name for name in arrays if name not in known]
    if len(names) > 1 and all(UNNAMED.fullmatch(name) for name in names):
        return _unnamed({name: arrays[name] for name in names})
    samples, labels = (_by_split(names, is_label=is_label) for is_label in (False, True))
    if TRAIN not in samples and TRAIN not in labels and {None} < samples.keys() & labels.keys():
        samples[TRAIN], labels[TRAIN] = samples.pop(None), labels.pop(None)  # `X` and `y` beside `X_test` and `y_test`
    splits = [split for split in (TRAIN, VAL, TEST) if split in samples and split in labels]
    has_splits = TRAIN in splits
    if not has_splits and (splits or not (None in samples and None in labels)):
        listed = ", ".join(f"`{printable(name)}`" for name in sorted(names)[:SHOWN]) or "none"
        raise ImportRefusedError(
            "npz-arrays",
            "no samples with labels to train on: arrays `X` and `y`, or `X_train` and `y_train`, or names such as "
            f"`train_images` and `train_labels`, are needed; there are: {listed}",
        )
    if has_splits:
        parts = Parts([(samples[split], labels[split]) for split in splits], splits)
    else:
        parts = Parts([(samples[None], labels[None])], None)
        for name in names:
            split_N = read_splits(name, arrays[name])
            if split_N is not None and arrays[name].shape == arrays[samples[None]].shape[:1]:
                parts.split_N = split_N
                parts.said.append(f"`{printable(name)}` tells the split of each sample")
                names.remove(name)
                break
    _tell_others(parts, names)
    return parts


def read_splits(name: str, array: Array) -> NDArray[np.uint8] | None:
    """The split of each sample by an array called `split` of texts; None for any other, and for unknown texts."""
    if (
        tokens(name) not in (["split"], ["splits"], ["subset"], ["partition"], ["usage"])
        or array.dtype.kind not in "US"
    ):
        return None
    texts, places = np.unique(array, return_inverse=True)
    splits = [split_of(text.decode(errors="replace") if isinstance(text, bytes) else text) for text in texts.tolist()]
    known = [split for split in splits if split is not None]
    if len(known) < len(splits) or TRAIN not in known:
        return None
    return np.array(known, np.uint8)[places]


def _by_split(names: Collection[str], *, is_label: bool) -> dict[int | None, str]:
    """Split (None: of all) -> the array that is called by the most usual word."""
    roles = [(role, name) for name in names if (role := role_of(name)) is not None and role.is_label == is_label]
    chosen: dict[int | None, tuple[Role, str]] = {}
    for role, name in roles:
        other = chosen.get(role.split)
        if other is not None and other[0].rank == role.rank:
            both = f"`{printable(other[1])}` and `{printable(name)}`"
            what = "labels" if is_label else "samples"
            raise ImportRefusedError("npz-arrays", f"{both} could both be the {what}; leave one of them out")
        if other is None or role.rank < other[0].rank:
            chosen[role.split] = role, name
    return {split: name for split, (_, name) in chosen.items()}


def role_of(name: str) -> Role | None:
    """None for a name that says anything else."""
    words = [part for word in tokens(name) for part in _apart(word)]
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    others = [word for word in words if word not in SPLIT_WORDS and word not in PLAIN_WORDS]
    if len(splits) > 1 or not all(word in SAMPLES or word in LABELS for word in others) or not (splits or others):
        return None
    split = next(iter(splits), None)
    ranks = [LABELS.index(word) for word in others if word in LABELS]
    if ranks:
        return Role(True, split, min(ranks))
    return Role(False, split, min((SAMPLES.index(word) for word in others), default=len(SAMPLES)))


def _apart(word: str) -> list[str]:
    """`xtrain`, `trainlabels` and `testset` as two words."""
    if word not in SPLIT_WORDS:
        for split in SPLIT_WORDS:
            for part in (word.removeprefix(split), word.removesuffix(split)):
                if part != word and (part in SAMPLES or part in LABELS or part in PLAIN_WORDS):
                    return [split, part]
    return [word]


def _unnamed(arrays: Mapping[str, Array]) -> Parts:
    """Arrays without names: samples and labels are told by their shapes, and belong together in their order."""
    names = sorted(arrays, key=lambda name: int(name[4:]))
    labels = [name for name in names if arrays[name].ndim == 1 or arrays[name].shape[1:] == (1,)]
    samples = [name for name in names if name not in labels]
    pairs = list(zip(samples, labels, strict=False))
    lengths = [(len(arrays[x]), len(arrays[y])) for x, y in pairs if arrays[x].ndim and arrays[y].ndim]
    if not 0 < len(samples) == len(labels) <= len(SPLITS) or [a for a, _ in lengths] != [b for _, b in lengths]:
        shapes = ", ".join(f"`{name}` {arrays[name].shape}" for name in names[:SHOWN])
        raise ImportRefusedError(
            "npz-arrays", f"arrays without names, and their shapes do not tell samples from labels: {shapes}; save "
            "them by name: `np.savez(path, X=..., y=...)`",
        )  # fmt: skip
    splits = {1: None, 2: [TRAIN, TEST], 3: [TRAIN, VAL, TEST]}[len(pairs)]
    titles = ["all"] if splits is None else [SPLITS[split] for split in splits]
    said = [f"`{x}` and `{y}`: samples and labels of {title}" for (x, y), title in zip(pairs, titles, strict=True)]
    return Parts(pairs, splits, None, said, is_doubtful=splits is not None)


def _tell_others(parts: Parts, names: Collection[str]) -> None:
    """What is read under unusual names, and what is not read."""
    used = {name for pair in parts.pairs for name in pair}
    given = set(parts.splits or ())
    if parts.splits is not None and (role := role_of(parts.pairs[0][0])) is not None and role.split is None:
        parts.said.append(f"`{parts.pairs[0][0]}` beside other splits is train")
    for name in names:
        if name in used:
            continue
        role, words = role_of(name), tokens(name)
        if role is not None and role.split not in given and role.split is not None:
            what = "labels without samples" if role.is_label else "samples without labels"
            parts.said.append(f"`{printable(name)}` ({what}) was left out")
            parts.is_doubtful = True
        else:
            parts.said.append(f"`{printable(name)}` was left out")
            parts.is_doubtful |= any(word in SPLIT_NAMES or "split" in word for word in words) or role is not None
