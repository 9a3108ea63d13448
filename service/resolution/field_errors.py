"""Pydantic's faults in words that say what to send instead."""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from service.api.deps import CURSOR
from service.specs import JobSpec
from service.specs.augmentation import AugmentOp
from service.specs.dataset import DATASET_NAME, PublicSource
from service.specs.model import ModelSpec
from service.specs.optimizer import ScheduleSpec
from service.specs.part import FromJob
from service.specs.tune import Dimension

# The unions of a request by the name of the field that tells their members apart.
UNIONS: dict[str, Any] = {
    "family": ModelSpec,
    "op": AugmentOp,
    "type": Dimension,
    "name": ScheduleSpec,
    "kind": JobSpec,
}
PATTERNS: dict[str, str] = {
    DATASET_NAME: "letters, digits, `.`, `_` and `-`, at most 100, beginning with a letter or a digit",
    CURSOR: "a `next_cursor` as an earlier page gave it",
}
OBJECT_FAULTS: tuple[str, ...] = ("model_type", "model_attributes_type", "dict_type")


def detail(error: Mapping[str, Any]) -> str:
    """What is wrong and what is expected, with the nearest allowed value when a name was mistyped."""
    context = error.get("ctx") or {}
    kind = error["type"]
    if kind == "json_invalid":
        return f"the body is not JSON: {context.get('error', error['msg'])}"
    if kind in OBJECT_FAULTS:
        return "Input should be an object" + (' like {"from_job": "<id>"}' if FromJob.__name__ in error["loc"] else "")
    if kind == "too_short" and not context.get("actual_length"):
        return f"it is empty: give at least {context.get('min_length', 1)}"
    if kind == "string_pattern_mismatch" and context.get("pattern") in PATTERNS:
        return "Input should be " + PATTERNS[context["pattern"]]
    if kind == "union_tag_not_found":
        return f"Field required: one of {_tags(str(context['discriminator']).strip(chr(39)), error['loc'])}"
    return _with_the_nearest(error, context)


def _with_the_nearest(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    expected = context.get("expected_tags") or (context.get("expected") if error["type"] == "literal_error" else None)
    given = context.get("tag", error.get("input"))
    if error["type"] == "union_tag_invalid":
        message = f"Input should be one of {expected}, not '{given}'"
    if isinstance(expected, str) and isinstance(given, str):
        choices = [choice.strip().strip("'") for choice in expected.replace(" or ", ", ").split(",")]
        if near := difflib.get_close_matches(given, choices, n=1, cutoff=0.5):
            return f"{message}; did you mean `{near[0]}`?"
    return message


def _tags(discriminator: str, location: tuple[Any, ...]) -> str:
    """Every value that the field may have; a dataset's source has another `kind` than a job."""
    union = PublicSource if "source" in location else UNIONS[discriminator]
    members = get_args(get_args(union)[0])
    return ", ".join(f"'{get_args(each.model_fields[discriminator].annotation)[0]}'" for each in members)
