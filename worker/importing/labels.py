"""Labels as people write them -> class numbers from 0 on, with what had to be put right."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.reports.finding import Finding
from worker.importing.findings import SHOWN, finding
from worker.importing.names import distinct, printable

MANY = 20
"""Samples from which on labels that hardly repeat are taken for measurements."""
FEW_CLASSES = 30
"""Numbers that are more, or no whole ones, may be measurements."""
FEW_EACH = 10
MAX_CLASSES = 20_000
MAX_CLASS_NAME = 200
INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,14})")
SHORT = 2
"""Characters up to which case may matter: `a` and `A`, `AA` and `Aa`."""
SEPARATORS = "|;,"
BRACKETS = " []{}()'\""
"""Around the labels of a list, as programs write it."""
Numbered = tuple[NDArray[np.int64], list[str], list[Finding | None]]


def number_labels(labels: NDArray[np.generic], known: Sequence[str] = ()) -> Numbered:
    """Class numbers, class names, and notes. `known` names the classes of labels 0, 1, ...

    ImportRefusedError when the labels are no classes.
    """
    notes: list[Finding | None] = []
    flat = _one_label_each(labels, notes)
    if flat.dtype.kind in "US":
        return number_texts([_text(value) for value in flat.tolist()])
    if flat.dtype.kind == "f":
        flat = _whole(flat, notes)
    values, numbers_N = np.unique(flat, return_inverse=True)
    if flat.dtype.kind in "iu" and len(values):
        notes.append(_check_start(int(values[0]), int(values[-1]), len(values)))
        if known and values[0] >= 0 and values[-1] < len(known):
            return flat.astype(np.int64), [_name(name) for name in known], notes
    if flat.dtype.kind != "b":
        notes.append(_judge_numbers(values.astype(np.float64), len(flat)))
    return numbers_N.astype(np.int64), [_name(str(value)) for value in values.tolist()], notes


def number_texts(labels: Sequence[str]) -> Numbered:
    """The same for texts, which stay as they are: `01` and `1` are two classes, `Yes` and `yes` are one.

    Numbers are put in the order of their size.
    """
    counts = Counter(labels)
    refuse_several(counts)
    spelled = spellings(counts)
    texts = sorted(set(spelled.values()), key=lambda text: (_value(text), text))
    values = [_value(text) for text in texts]
    notes = [check_spellings(spelled, counts)]
    if np.isfinite(values).all():
        notes.append(_judge_numbers(np.array(values), len(labels)))
    else:
        texts.sort()
        _refuse_many(len(texts), len(labels), "labels", "these are no classes")
    if all(INTEGER.fullmatch(text) for text in texts):
        notes.append(_check_start(int(texts[0]), int(texts[-1]), len(texts)))
    numbers = {text: number for number, text in enumerate(texts)}
    y_N = np.fromiter((numbers[spelled[label]] for label in labels), np.int64, len(labels))
    return y_N, distinct((_name(text) for text in texts), "{name} ({number})"), notes


def spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Text -> the commonest of the texts that differ from it only in Unicode form, case or space."""
    alike: dict[str, list[str]] = defaultdict(list)
    for text in counts:
        plain = _plain(text)
        alike[plain.casefold() if len(plain) > SHORT else plain].append(text)
    chosen: dict[str, str] = {}
    for texts in alike.values():
        commonest = max(texts, key=lambda text: (counts[text], text == text.strip(), text))
        chosen |= dict.fromkeys(texts, _plain(commonest))
    return chosen


def _plain(text: str) -> str:
    """Composed, without marks of no width, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).replace("\u200b", "").replace("\ufeff", "").split())


def check_spellings(spelled: Mapping[str, str], counts: Mapping[str, int]) -> Finding | None:
    """P28: labels that are one class in several spellings."""
    several = Counter(spelled.values())
    odd = [text for text, name in spelled.items() if several[name] > 1 and text != name]
    if not odd:
        return None
    shown = [f"{_as_written(text)} = `{printable(spelled[text])}`" for text in odd[:SHOWN]]
    return finding(
        "P28", "warning",
        f"{sum(counts[text] for text in odd):,} labels differ from others only in case, surrounding space or Unicode "
        f"form; they are taken for the same class: {', '.join(shown[:5])}.",
        "Write each class in one way; where the spellings are different classes, give these different names.",
        count=len(odd), examples=shown,
    )  # fmt: skip


def _as_written(text: str) -> str:
    """With escapes where one could not see a difference otherwise."""
    is_plain = unicodedata.normalize("NFC", text) == text
    return f"`{printable(text) if is_plain else text.encode('ascii', 'backslashreplace').decode()}`"


def refuse_several(counts: Mapping[str, int]) -> None:
    """Refuses labels such as `big|red` beside `big` and `red`: each sample has several."""
    for separator in SEPARATORS:
        bare = {text.strip(BRACKETS): text for text in counts}
        cut = {text: [part.strip(BRACKETS) for part in text.split(separator)] for text in bare if separator in text}
        parts = {part for texts in cut.values() for part in texts if part}
        alone = [bare[text] for text in parts if text in bare]
        if len(cut) > 1 and len(alone) > 1 and max(map(len, cut.values()), default=0) <= len(parts):
            example = bare[max(cut, key=lambda text: counts[bare[text]])]
            raise ImportRefusedError(
                "labels-several",
                f"a label names several classes at once (`{printable(example)[:80]}` beside "
                f"`{printable(alone[0])[:80]}`), and a sample has one here. Keep the one that matters, or import the "
                "data once for each class with yes or no as the label.",
            )


def _value(text: str) -> float:
    """The number that a text is; infinite for others."""
    try:
        return float("inf") if "_" in text else float(text)
    except ValueError:
        return float("inf")


def _one_label_each(labels: NDArray[np.generic], notes: list[Finding | None]) -> NDArray[np.generic]:
    if labels.size == 0:
        raise ImportRefusedError("labels-shape", f"labels of shape {labels.shape}: there are none")
    if labels.dtype.kind not in "iufbUS":
        raise ImportRefusedError("labels-dtype", f"labels of type {labels.dtype} are neither numbers nor text")
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "iufb" and _is_one_hot(labels):
        notes.append(_wrong_type(f"one-hot rows of {labels.shape[1]} columns"))
        chosen: NDArray[np.int64] = labels.argmax(axis=1)
        return chosen
    if labels.ndim != 1:
        advice = ""
        if labels.ndim == 2 and labels.dtype.kind in "iufb":
            is_multiple = bool(np.isin(labels, (0, 1)).all())
            advice = (
                ": several classes a sample (multi-label) are not trained; import the data once for each column"
                if is_multiple
                else ": for shares of classes (soft labels) hand in the class of the largest, `y.argmax(axis=1)`"
            )
        raise ImportRefusedError("labels-shape", f"labels of shape {labels.shape}; one a sample is needed{advice}")
    return labels


def _is_one_hot(labels: NDArray[np.generic]) -> bool:
    numbers = labels.astype(np.float64)
    return bool(np.isin(numbers, (0, 1)).all() and (numbers.sum(axis=1) == 1).all())


def _whole(labels: NDArray[np.generic], notes: list[Finding | None]) -> NDArray[np.generic]:
    """As whole numbers where they are."""
    numbers = labels.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ImportRefusedError(
            "labels-not-classes", f"{int((~np.isfinite(numbers)).sum()):,} labels are NaN or infinite"
        )
    if (numbers % 1 != 0).any() or (np.abs(numbers) > 2**53).any():
        return labels
    notes.append(_wrong_type(f"numbers of type {labels.dtype}"))
    return numbers.astype(np.int64)


def _wrong_type(what: str) -> Finding:
    """P3: labels that a loss would not take."""
    return finding(
        "P3", "info",
        f"The labels were {what}; cross entropy wants whole numbers of classes (int64), and the dataset holds them.",
        "Nothing.", labels=what,
    )  # fmt: skip


def _judge_numbers(values: NDArray[np.float64], samples: int) -> Finding | None:
    """P30, or a refusal: different numbers, in order, that may be measurements and no classes."""
    classes = len(values)
    is_rare = samples < FEW_EACH * classes
    is_counted = values[0] in (0, 1) and values[-1] - values[0] + 1 == classes and not (values % 1).any()
    question = "is this a regression? Trainwright trains classifiers; make classes of them (ranges, say)"
    _refuse_many(classes, samples, "numbers as labels", question)
    is_measured = (values % 1).any() and (is_rare or classes > FEW_CLASSES)
    if is_measured or (classes > FEW_CLASSES and is_rare and not is_counted):
        raise ImportRefusedError(
            "labels-not-classes", f"{classes:,} different numbers as labels in {samples:,} samples: {question}"
        )
    if classes <= FEW_CLASSES or (is_counted and not is_rare):
        return None
    return finding(
        "P30", "warning",
        f"The labels are {classes:,} different numbers from {values[0]:g} to {values[-1]:g}: is this a regression? "
        "Each number is a class of its own here, and being nearly right counts as wrong.",
        "Make ranges of them if they measure something; nothing if they number classes.",
        classes=classes, samples=samples, first=float(values[0]), last=float(values[-1]),
    )  # fmt: skip


def _refuse_many(classes: int, samples: int, what: str, why: str) -> None:
    if classes > MAX_CLASSES or (samples >= MANY and classes > samples / 2):
        raise ImportRefusedError("labels-not-classes", f"{classes:,} different {what} in {samples:,} samples: {why}")


def _check_start(first: int, last: int, classes: int) -> Finding | None:
    """P4: labels that are no class numbers as a loss wants them."""
    if first == 0 and last == classes - 1:
        return None
    what = "start at 1" if first == 1 else f"run from {first} to {last} with {classes} different ones"
    return finding(
        "P4", "info",
        f"The labels {what}; a loss wants 0 to {classes - 1}. The dataset numbers them anew and keeps them as names.",
        "Nothing here; in code of your own subtract the first, or the loss fails or learns a class that is not there.",
        first=first, last=last, classes=classes,
    )  # fmt: skip


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _name(text: str) -> str:
    return printable(text.strip())[:MAX_CLASS_NAME] or "(empty)"
