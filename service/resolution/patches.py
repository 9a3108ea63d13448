"""Dotted paths into a spec, as search spaces, clones and remedies write them: `optimizer.lr`, `augment.0.p`.

A number is an index of a list. A path below a null makes the part that may stand there, with its defaults. A value that
decides over the fields beside it (`model.family`) keeps those that were asked for and that the new part knows.
"""

import copy
import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from service.errors import FieldError, SpecError, json_pointer, summary
from service.resolution.field_errors import UNIONS, field_errors
from service.specs.part import Part

Spec = TypeVar("Spec", bound=Part)
Patch = Mapping[str, Any]


def patched_spec(spec: Spec, patch: Patch) -> Spec:
    """A validated copy of `spec` with the patch's value at each dotted path; the order of the paths does not matter.

    Raises SpecError when a path leads nowhere or a value does not fit; its pointers are those of `{"patch": patch}`.
    """
    document, errors = spec.model_dump(mode="json"), []
    for path in sorted(patch, key=_outer_first):
        try:
            document = _put(document, type(spec), path, patch[path])
        except KeyError:
            detail = f"no field `{path}` in the spec{_hint(document, type(spec), path)}"
            errors.append(FieldError(pointer=json_pointer(("patch", path)), detail=detail))
    try:
        changed = type(spec).model_validate(document)
    except ValidationError as error:
        faults = field_errors(error.errors(include_url=False), document)
        errors += [_error_in_patch(fault, patch) for fault in faults]
    if errors:
        raise SpecError(summary(errors), errors)
    return changed


@contextmanager
def errors_in_patch(patch: Patch) -> Iterator[None]:
    """A SpecError about the patched spec leaves with the pointers of `{"patch": patch}`."""
    try:
        yield
    except SpecError as error:
        errors = [_error_in_patch(fault, patch) for fault in error.errors]
        raise SpecError(summary(errors), errors) from error


def get_path(document: Mapping[str, Any], path: str) -> Any:
    """The value at the dotted `path`; raises KeyError when there is none."""
    place: Any = document
    for name in path.split("."):
        try:
            place = place[int(name) if isinstance(place, list) else name]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise KeyError(f"nothing stands at `{path}`") from error
    return place


def _outer_first(path: str) -> tuple[int, bool]:
    """Wholes go before their parts, and what decides over a part's fields before these."""
    *outer, name = path.split(".")
    return len(outer), name not in UNIONS


def _error_in_patch(error: FieldError, patch: Patch) -> FieldError:
    names = error.pointer.split("/")[1:]
    for end in range(len(names), 0, -1):
        path = ".".join(names[:end]).replace("~1", "/").replace("~0", "~")
        if path in patch:
            pointer = "/".join((json_pointer(("patch", path)), *names[end:]))
            return FieldError(pointer=pointer, detail=error.detail)
    # No single value is at fault, but how they go together with each other or with the rest of the spec.
    place = f"{error.pointer}: " if error.pointer else ""
    return FieldError(pointer="/patch", detail=place + error.detail)


def _put(place: Any, annotation: Any, path: str, value: object) -> Any:
    """`place` with `value` at the dotted path below it; raises KeyError when the path leads nowhere."""
    if not path:
        return copy.deepcopy(value)
    if place is None:
        annotation = _part_that_knows(annotation, path, value)
        place = _defaults(annotation)
    if isinstance(place, list):
        name, _, rest = path.partition(".")
        if not re.fullmatch("[0-9]{1,9}", name) or int(name) >= len(place):
            raise KeyError(path)
        index = int(name)
        changed = _put(place[index], _annotation(place, annotation, index), rest, value)
        return [*place[:index], changed, *place[index + 1 :]]
    if not isinstance(place, dict):
        raise KeyError(path)
    name, rest = _split(place, annotation, path)
    inner = _annotation(place, annotation, name)
    kept = place if rest else _kept(place, annotation, name, value)
    return kept | {name: _put(place.get(name), inner, rest, value)}


def _split(place: Mapping[str, Any], annotation: Any, path: str) -> tuple[str, str]:
    """The first name of a path and the rest. Names that clients chose may have dots, as in a `search_space`."""
    if form := _form(place, annotation):
        name, _, rest = path.partition(".")
        if name not in form.model_fields:
            raise KeyError(path)
        return name, rest
    name = max((name for name in place if f"{path}.".startswith(f"{name}.")), key=len, default=path)
    return name, path[len(name) + 1 :]


def _kept(place: dict[str, Any], annotation: Any, name: str, value: object) -> dict[str, Any]:
    """What stays of a part when the field `name` gets a value: all of it, unless that makes it another part."""
    old = _form(place, annotation)
    new = next((part for part in _parts(annotation) if _tags(part).get(name) == value), None)
    if old is None or new is None or old is new:
        return place
    defaults = _defaults(old)
    asked = {field: place[field] for field in place if field not in defaults or place[field] != defaults[field]}
    return _defaults(new) | {field: given for field, given in asked.items() if field in new.model_fields}


def _part_that_knows(annotation: Any, path: str, value: object) -> type[Part]:
    """Of the parts that may stand where nothing is, the one that the value names, or that has the path's field."""
    parts = [part for part in _parts(annotation) if path.partition(".")[0] in part.model_fields]
    if not parts:
        raise KeyError(path)
    return next((part for part in parts if _tags(part).get(path, value) == value), parts[0])


def _defaults(part: type[Part]) -> dict[str, Any]:
    fields = part.model_fields.items()
    return {name: to_jsonable_python(field.default) for name, field in fields if not field.is_required()}


def _annotation(place: Any, annotation: Any, name: str | int) -> Any:
    """What may stand at one name or index of a place."""
    if isinstance(name, str) and (form := _form(place, annotation)):
        return form.model_fields[name].annotation
    container = dict if isinstance(place, dict) else list
    return next((get_args(kind)[-1] for kind in _members(annotation) if get_origin(kind) is container), Any)


def _form(place: Mapping[str, Any], annotation: Any) -> type[Part] | None:
    """Which of the parts that may stand there does; None for a mapping whose names the client chose."""
    fits = (part for part in _parts(annotation) if _tags(part).items() <= place.items())
    return next((part for part in fits if place.keys() <= part.model_fields.keys()), None)


def _tags(part: type[Part]) -> dict[str, Any]:
    """The fields that tell a part from the others of its union."""
    choices = {name: get_args(field.annotation) for name, field in part.model_fields.items()}
    return {name: values[0] for name, values in choices.items() if len(values) == 1 and isinstance(values[0], str)}


def _parts(annotation: Any) -> list[type[Part]]:
    return [kind for kind in _members(annotation) if isinstance(kind, type) and issubclass(kind, Part)]


def _members(annotation: Any) -> Iterator[Any]:
    """The members of a union, however they are nested."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _hint(document: Mapping[str, Any], schema: type[Part], path: str) -> str:
    """The path that reads most like `path`; one that ends alike goes first."""
    known = list(_paths(document, schema))
    name = path.split(".")[-1]
    alike = [other for other in known if other.split(".")[-1] == name]
    near = difflib.get_close_matches(path, alike or known, n=1, cutoff=0.0 if alike else 0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


def _paths(place: Any, annotation: Any) -> Iterator[str]:
    """Every dotted path below a place; where nothing stands, those of the one part that may."""
    if place is None and len(parts := _parts(annotation)) == 1:
        place = _defaults(parts[0])
    items: Any = place.items() if isinstance(place, dict) else enumerate(place[:10] if isinstance(place, list) else [])
    for name, value in items:
        yield str(name)
        yield from (f"{name}.{below}" for below in _paths(value, _annotation(place, annotation, name)))
