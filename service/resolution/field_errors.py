"""Pydantic's faults as ours: JSON pointers into the document that was sent, in words that say what to send instead."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from service.errors import MAX_ERRORS, FieldError, cut, json_pointer
from service.reports.part import CURSOR
from service.specs import JobSpec
from service.specs.augmentation import AugmentOp
from service.specs.dataset import DATASET_NAME, PublicSource
from service.specs.model import ModelSpec
from service.specs.optimizer import ScheduleSpec
from service.specs.part import Part
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
REFERENCE = f"function-wrap[{Part._check_fields.__name__}()]"
"""How pydantic names a part among other values of a union: that is a `FromJob`."""
OBJECT_FAULTS: tuple[str, ...] = ("model_type", "model_attributes_type", "dict_type")


def field_errors(errors: Sequence[Any], document: object) -> list[FieldError]:
    """Pydantic's list of errors about `document`, one entry a pointer."""
    return _merged([(error, *_pointer(error, tuple(error["loc"]), document)) for error in errors[:MAX_ERRORS]])


def field_errors_in_body(errors: Sequence[Any], body: object) -> list[FieldError]:
    """FastAPI's list of errors about a request: pointers into its body, or `/query/...`, `/path/...`."""
    located = []
    for error in errors[:MAX_ERRORS]:
        place, *location = error["loc"] or ("",)
        pointer = _pointer(error, location, body) if place == "body" else (json_pointer(error["loc"]), False)
        located.append((error, *pointer))
    return _merged(located)


def _merged(located: Sequence[tuple[Any, str, bool]]) -> list[FieldError]:
    """Errors with their pointers, one entry a pointer; a union's tag has none beside the faults of its members."""
    details: dict[str, list[str]] = {}
    strays: set[str] = set()
    for error, pointer, is_tail_tag in located:
        details.setdefault(pointer, [])
        if is_tail_tag:
            strays.add(pointer)
        if (detail := _detail(error)) not in details[pointer]:
            details[pointer].append(detail)
    return [
        FieldError(pointer=pointer, detail="; or: ".join(texts))
        for pointer, texts in details.items()
        if not (pointer in strays and any(other.startswith(pointer + "/") for other in details))
    ]


def _pointer(error: Mapping[str, Any], location: Sequence[Any], document: object) -> tuple[str, bool]:
    """JSON pointer of one error, and whether its last part was a union's tag that clients never sent."""
    if error["type"] == "json_invalid":
        return "", False
    names, is_tail_tag = _walk(location, document, error["type"] == "missing")
    context = error.get("ctx") or {}
    if error["type"] == "unknown_field":
        names.append(context["name"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        names.append(str(context["discriminator"]).strip("'"))
    return json_pointer(names), is_tail_tag


def _walk(location: Sequence[Any], document: object, is_missing: bool) -> tuple[list[Any], bool]:
    """Follows a location through the document; what is not in it names a member of a union and is left out."""
    kept: list[Any] = []
    is_tail_tag, may_be_tag = False, True
    for index, name in enumerate(location):
        is_tail_tag = False
        if isinstance(document, dict):
            if may_be_tag and any(document.get(tag) == name for tag in UNIONS):
                may_be_tag = False
                continue
            if name in document or (is_missing and index == len(location) - 1):
                kept.append(name)
                document, may_be_tag = document.get(name), True
                continue
        elif isinstance(document, list | tuple) and isinstance(name, int) and name < len(document):
            kept.append(name)
            document, may_be_tag = document[name], True
            continue
        is_tail_tag = True
    return kept, is_tail_tag


def _detail(error: Mapping[str, Any]) -> str:
    """What is wrong and what is expected, with the nearest allowed value when a name was mistyped."""
    context = error.get("ctx") or {}
    kind = error["type"]
    if kind == "json_invalid":
        return f"the body is not JSON: {context.get('error', error['msg'])}"
    if kind in OBJECT_FAULTS:
        return "Input should be an object" + (' like {"from_job": "<id>"}' if REFERENCE in error["loc"] else "")
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
    given = cut(given) if isinstance(given, str) else given
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
    return ", ".join(f"'{get_args(member.model_fields[discriminator].annotation)[0]}'" for member in members)
