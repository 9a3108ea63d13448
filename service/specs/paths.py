"""Dotted paths into a spec: what `search_space` speaks."""

import copy
import difflib
from collections.abc import Mapping
from typing import Any


def set_path(spec: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of `spec` with `value` at the dotted `path` (`optimizer.lr`, `augment.0.p`).

    A null on the way becomes an object. Raises KeyError, in words, when the path leads nowhere.
    """
    result = copy.deepcopy(dict(spec))
    *parents, last = path.split(".")
    place: Any = result
    for depth, part in enumerate(parents):
        place = _child(place, part, ".".join(parents[: depth + 1]))
    if isinstance(place, list):
        place[_index(place, last, path)] = value
        return result
    _require(place, last, path)
    place[last] = value
    return result


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


def _child(place: Any, part: str, path: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, path)]
    _require(place, part, path)
    if place[part] is None:
        place[part] = {}
    if not isinstance(place[part], dict | list):
        raise KeyError(f"`{path}` is a value and has no fields")
    return place[part]


def _index(place: list[Any], part: str, path: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise KeyError(f"`{path}` is not an index of a list of {len(place)}")
    return int(part)


def _require(place: dict[str, Any], part: str, path: str) -> None:
    if place and part not in place:
        near = difflib.get_close_matches(part, place, n=1, cutoff=0.5)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise KeyError(f"no field `{path}` in the spec{hint}")
