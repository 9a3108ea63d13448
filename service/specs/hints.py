"""What an unknown field may have meant: where that is in a spec, or why nothing sets it."""

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

# What other libraries and people call a field, and its name here.
ALIASES: dict[str, str] = {
    "accumulate_grad_batches": "accumulate",
    "algorithm": "optimizer",
    "amp": "precision",
    "architecture": "arch",
    "augmentation": "augment",
    "augmentations": "augment",
    "bs": "batch_size",
    "batchsize": "batch_size",
    "class_weight": "class_weights",
    "criterion": "loss",
    "data": "dataset",
    "dropout_rate": "dropout",
    "early_stop": "early_stopping",
    "fp16": "precision",
    "gradient_accumulation_steps": "accumulate",
    "gradient_clip_val": "clip_norm",
    "grad_clip": "clip_norm",
    "hidden_sizes": "hidden",
    "layers": "hidden",
    "learning_rate": "lr",
    "lr_scheduler": "schedule",
    "max_epochs": "epochs",
    "max_grad_norm": "clip_norm",
    "max_norm": "clip_norm",
    "minibatch": "batch_size",
    "mixed_precision": "precision",
    "n_epochs": "epochs",
    "network": "model",
    "num_epochs": "epochs",
    "num_trials": "n_trials",
    "opt": "optimizer",
    "pretrained": "weights",
    "random_seed": "seed",
    "random_state": "seed",
    "rate": "lr",
    "scheduler": "schedule",
    "smoothing": "label_smoothing",
    "space": "search_space",
    "transforms": "augment",
    "trials": "n_trials",
    "tags": "labels",
    "wd": "weight_decay",
}
_SOFTMAX = (
    "a network's output is logits, and cross entropy contains the softmax: with a second one gradients all but vanish. "
    "Nothing sets it; rule D4 looks at the outputs"
)
_EVALUATION = (
    "every evaluation is in eval mode and every training step in train mode, with dropout and batch norm to match. "
    "Nothing sets it; the check-up (C1) looks for modules left in train mode"
)
_GRADIENTS = "gradients are cleared before every step. Nothing sets it; `accumulate` adds up micro-batches on purpose"
_DTYPE = (
    "batches are float32 and labels int64 whatever the file held. Nothing sets it; the check-up (C1) looks at both, "
    "and `precision` chooses mixed precision"
)
_HELD_OUT = (
    "validation and test see the same preprocessing as train and no random operation, or they would measure something "
    "else. Nothing sets it; rule D3 compares the two pipelines each epoch"
)
# What is a common error in training code, and so cannot be written in a spec.
TAUGHT: dict[str, str] = {
    **dict.fromkeys(("output_activation", "final_activation", "last_activation", "softmax"), _SOFTMAX),
    **dict.fromkeys(("eval_mode", "train_mode", "model_eval", "eval"), _EVALUATION),
    **dict.fromkeys(("zero_grad", "zero_gradients", "retain_graph"), _GRADIENTS),
    **dict.fromkeys(("dtype", "input_dtype", "label_dtype", "dtypes"), _DTYPE),
    **dict.fromkeys(
        ("val_augment", "test_augment", "augment_val", "val_augmentation", "val_transforms", "test_transforms"),
        _HELD_OUT,
    ),
}
DEEPEST = 3


def hint(part: type[BaseModel], name: str) -> str:
    """What to write instead of the unknown field `name` of a part."""
    if name.lower() in TAUGHT:
        return TAUGHT[name.lower()]
    places = paths(part)
    meant = ALIASES.get(name.lower(), name)
    if meant in places:
        return f"did you mean `{places[meant]}`?"
    own = [place for place in places.values() if "." not in place]
    if near := difflib.get_close_matches(name, own, n=1, cutoff=0.5):
        return f"did you mean `{near[0]}`?"
    if near := difflib.get_close_matches(name, places, n=1, cutoff=0.75):
        return f"did you mean `{places[near[0]]}`?"
    return "known fields: " + ", ".join(sorted(own))


@cache
def paths(part: type[BaseModel]) -> dict[str, str]:
    """Each field's name in a part and the parts in it, and the shortest dotted path that leads to it."""
    places: dict[str, str] = {}
    level: list[tuple[str, type[BaseModel]]] = [("", part)]
    for _ in range(DEEPEST):
        below = []
        for prefix, model in level:
            for name, field in model.model_fields.items():
                places.setdefault(field.alias or name, prefix + (field.alias or name))
                below += [(f"{prefix}{field.alias or name}.", inner) for inner in _parts_in(field.annotation)]
        level = below
    return places


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif getattr(annotation, "__origin__", None) not in (list, dict):  # a path leads to one value only
        for inner in get_args(annotation):
            yield from _parts_in(inner)
