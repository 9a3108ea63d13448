"""Dotted paths into a spec: what `search_space` speaks."""

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from service.specs.model import ModelSpec
from service.specs.optimizer import ScheduleSpec
from service.specs.part import Part


def _forms(union: Any, tag: str) -> dict[str, type[Part]]:
    return {get_args(each.model_fields[tag].annotation)[0]: each for each in get_args(get_args(union)[0])}


# Fields whose value decides which other fields stand beside them.
FORMS = {"schedule.name": _forms(ScheduleSpec, "name"), "model.family": _forms(ModelSpec, "family")}


def set_path(spec: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of `spec` with `value` at the dotted `path` (`optimizer.lr`, `augment.0.p`).

    A null on the way becomes an object; fields that a new form of an object does not have go with the old one.
    Raises KeyError, in words, when the path leads nowhere.
    """
    result = copy.deepcopy(dict(spec))
    *parents, last = path.split(".")
    place: Any = result
    for depth, part in enumerate(parents):
        place = _child(result, place, part, ".".join(parents[: depth + 1]))
    if isinstance(place, list):
        place[_index(place, last, path)] = value
        return result
    _require(result, place, last, path)
    for name in _left_behind(place, path, value):
        del place[name]
    place[last] = value
    return result


def _left_behind(place: dict[str, Any], path: str, value: object) -> list[str]:
    """Fields that another form does not know, or that are mere defaults of the form so far."""
    forms = FORMS.get(path, {})
    old, new = forms.get(str(place.get(path.rpartition(".")[2]))), forms.get(str(value))
    if old is None or new is None or old is new:
        return []
    return [each for each in place if each not in new.model_fields or place[each] == old.model_fields[each].default]


def get_path(spec: Mapping[str, Any], path: str) -> Any:
    """The value at the dotted `path`; raises KeyError when there is none."""
    place: Any = spec
    for depth, part in enumerate(path.split(".")):
        if isinstance(place, list):
            place = place[_index(place, part, path)]
        elif isinstance(place, dict) and part in place:
            place = place[part]
        else:
            raise KeyError(f"nothing stands at `{'.'.join(path.split('.')[: depth + 1])}`")
    return place


def nearest_path(spec: Mapping[str, Any], path: str) -> str | None:
    """The dotted path of the spec that reads most like `path`; one that ends alike goes first."""
    known = list(_paths(spec))
    leaf = path.split(".")[-1]
    alike = [each for each in known if each.split(".")[-1] == leaf] or known
    near = difflib.get_close_matches(path, alike, n=1, cutoff=0.0 if alike is not known else 0.6)
    return near[0] if near else None


def _paths(spec: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in spec.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")


def _child(root: dict[str, Any], place: Any, part: str, path: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, path)]
    _require(root, place, part, path)
    if place[part] is None:
        place[part] = {}
    if not isinstance(place[part], dict | list):
        raise KeyError(f"`{path}` is a value and has no fields")
    return place[part]


def _index(place: list[Any], part: str, path: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise KeyError(f"`{path}` is not an index of a list of {len(place)}")
    return int(part)


def _require(root: dict[str, Any], place: dict[str, Any], part: str, path: str) -> None:
    if place and part not in place:
        near = nearest_path(root, path)
        hint = f"; did you mean `{near}`?" if near else ""
        raise KeyError(f"no field `{path}` in the spec{hint}")
