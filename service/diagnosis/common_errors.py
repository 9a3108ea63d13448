"""Fourteen errors that are common in training code, and where each is caught here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CommonError:
    """An error, how it is caught, and the rules that look for it."""

    number: int
    error: str
    caught: Literal["by construction", "at validation", "at import", "check-up", "by a rule"]
    where: str
    rules: tuple[str, ...] = ()


COMMON_ERRORS: tuple[CommonError, ...] = (
    CommonError(
        1,
        "data not normalised",
        "by a rule",
        "normalised by default; D2 when it is turned off or does not suffice",
        ("D2",),
    ),
    CommonError(
        2,
        "learning rate too high",
        "by a rule",
        "D1, D10, D11, D14 while the job runs; `lr-find` before",
        ("D1", "D10", "D11", "D14"),
    ),
    CommonError(
        3, "learning rate too low", "by a rule", "D9 from the first 50 steps, D8; `lr-find` before", ("D9", "D8")
    ),
    CommonError(
        4,
        "no shuffle",
        "by a rule",
        "shuffled by default; a warning at submission and C2 when it is turned off",
        ("C2",),
    ),
    CommonError(
        5,
        "loss that does not match the output",
        "by construction",
        "one loss on logits for every model; D4 and C1 look at the outputs",
        ("D4", "C1"),
    ),
    CommonError(
        6,
        "softmax before cross entropy",
        "by construction",
        "every output layer is a bare Linear; D4 looks at the outputs",
        ("D4",),
    ),
    CommonError(
        7,
        "a GPU present and unused",
        "by construction",
        "`device: auto` takes the GPU; C3 when the spec refuses it",
        ("C3",),
    ),
    CommonError(8, "gradients not zeroed", "by construction", "gradients are None before each backward pass"),
    CommonError(
        9,
        "evaluation in train mode",
        "by construction",
        "evaluation leaves no module in train mode; C1 looks for it",
        ("C1",),
    ),
    CommonError(
        10,
        "train and val transforms that differ",
        "by construction",
        "one preprocessing for all splits; D3 compares the two pipelines each epoch",
        ("D3",),
    ),
    CommonError(
        11,
        "data leakage",
        "at import",
        "duplicates across splits in the profile, near duplicates kept in one split; D16",
        ("D16",),
    ),
    CommonError(
        12,
        "wrong dtype",
        "by construction",
        "packed as uint8 or float32, batches are float32, labels int64; C1 looks at them",
        ("C1",),
    ),
    CommonError(13, "tensors on different devices", "by construction", "batches are made on the model's device"),
    CommonError(14, "no seed", "by construction", "every spec has a seed (default 42) that seeds everything"),
)
