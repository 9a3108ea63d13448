"""From a search space to Optuna's parameters and back to values at dotted paths of a `train` spec.

A `layers` dimension is several parameters: `<path>.depth`, and one `<path>.width<n>` for each layer that there is (with
grid search: one `<path>.width` for all of them, or the grid would explode).
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from optuna.trial import Trial

from service.resolution.defaults import filled
from service.resolution.patches import get_path
from service.specs.train import TrainFields
from service.specs.tune import (
    CategoricalDimension,
    Dimension,
    FloatDimension,
    IntDimension,
    LayersDimension,
    SearchFields,
)

Scalar = bool | int | float | str | None
Values = dict[str, Scalar | list[int]]
"""Dotted path -> what stands there in one trial."""
GRID_POINTS = 5
"""Values of a continuous range that a grid search tries."""


def suggest(trial: Trial, spec: SearchFields) -> Values:
    """One value for every path, by the study's sampler."""
    grid = spec.sampler == "grid"
    return {path: _suggest(trial, path, dimension, grid=grid) for path, dimension in spec.search_space.items()}


def _suggest(trial: Trial, path: str, dimension: Dimension, *, grid: bool) -> Scalar | list[int]:
    match dimension:
        case FloatDimension(low=low, high=high, log=log, step=step):
            return trial.suggest_float(path, low, high, log=log, step=step)
        case IntDimension(low=low, high=high, log=log, step=step):
            return trial.suggest_int(path, low, high, log=log, step=step)
        case CategoricalDimension(choices=choices):
            chosen: Scalar = trial.suggest_categorical(path, choices)
            return chosen
        case LayersDimension(depth=depth, width=width, step=step):
            layers = trial.suggest_int(f"{path}.depth", *depth)
            names = [f"{path}.width"] * layers if grid else [f"{path}.width{n}" for n in range(1, layers + 1)]
            return [trial.suggest_int(name, width[0], width[1], step=step) for name in names]
        case _:
            assert_never(dimension)


def is_numeric(spec: SearchFields) -> bool:
    """Whether every dimension is a number: no choices, nothing conditional."""
    return all(isinstance(dimension, FloatDimension | IntDimension) for dimension in spec.search_space.values())


def first_parameters(spec: SearchFields) -> list[dict[str, Scalar]]:
    """What is tried first: the lr-find's learning rate with the base spec's other values, then the base spec's own. In
    a grid search that is every point.

    Numbers outside of their range are moved to its nearest end; what has no value in the base is left to the sampler.
    """
    if spec.sampler == "grid":
        return _grid_points(spec)
    base = dict(_base(filled(spec.train), spec.search_space))
    trials = [base]
    if isinstance(spec.lr_find, float) and "optimizer.lr" in spec.search_space:
        dimension = spec.search_space["optimizer.lr"]
        trials.insert(0, base | dict(_parameters("optimizer.lr", dimension, spec.lr_find)))
    return [parameters for parameters in trials if parameters]


def _base(train: TrainFields, space: Mapping[str, Dimension]) -> Iterator[tuple[str, Scalar]]:
    dumped = train.model_dump(mode="json")
    for path, dimension in space.items():
        try:
            value = get_path(dumped, path)
        except KeyError:  # another value of the space brings this field about
            continue
        yield from _parameters(path, dimension, value)


def _parameters(path: str, dimension: Dimension, value: object) -> Iterator[tuple[str, Scalar]]:
    """Optuna's parameters for `value`, as far as it can stand in the dimension."""
    match dimension:
        case FloatDimension() if isinstance(value, int | float):
            yield path, _on_grid(float(value), dimension.low, dimension.high, dimension.step)
        case IntDimension() if isinstance(value, int):
            yield path, round(_on_grid(value, dimension.low, dimension.high, dimension.step))
        case CategoricalDimension(choices=choices) if value in choices:
            yield path, value
        case LayersDimension(depth=depth, width=(low, high), step=step) if isinstance(value, list) and value:
            layers = min(max(len(value), depth[0]), depth[1])
            yield f"{path}.depth", layers
            for number in range(layers):
                width = value[min(number, len(value) - 1)]
                yield f"{path}.width{number + 1}", round(_on_grid(width, low, high, step))
        case _:
            return


def _on_grid(value: float, low: float, high: float, step: float | None) -> float:
    if not step:
        return min(max(value, low), high)
    last = math.floor((high - low) / step + 1e-9)
    return low + step * min(max(round((value - low) / step), 0), last)


def trial_count(spec: SearchFields) -> int:
    """Trials of the whole search: a grid has no more of them than points."""
    return min(spec.n_trials, _grid_size(_grid(spec))) if spec.sampler == "grid" else spec.n_trials


def _grid_points(spec: SearchFields) -> list[dict[str, Scalar]]:
    """Every point of the grid in a random order, or `n_trials` of them when there are more."""
    values = _grid(spec)
    size = _grid_size(values)
    chosen = random.Random(spec.train.seed).sample(range(size), min(size, spec.n_trials))
    return [_point(values, number) for number in chosen]


def _grid_size(values: Mapping[str, Sequence[Scalar]]) -> int:
    return math.prod(len(choices) for choices in values.values())


def _point(values: Mapping[str, Sequence[Scalar]], number: int) -> dict[str, Scalar]:
    point: dict[str, Scalar] = {}
    for name, choices in values.items():
        number, place = divmod(number, len(choices))
        point[name] = choices[place]
    return point


def _grid(spec: SearchFields) -> dict[str, Sequence[Scalar]]:
    """The values of each parameter that a grid search combines."""
    points: dict[str, Sequence[Scalar]] = {}
    for path, dimension in spec.search_space.items():
        match dimension:
            case CategoricalDimension(choices=choices):
                points[path] = choices
            case LayersDimension(depth=depth, width=(low, high), step=step):
                points[f"{path}.depth"] = list(range(depth[0], depth[1] + 1))
                points[f"{path}.width"] = sorted({low, round(_on_grid((low + high) / 2, low, high, step)), high})
            case FloatDimension():
                points[path] = _spread(dimension.low, dimension.high, dimension.log, dimension.step)
            case IntDimension():
                numbers = _spread(dimension.low, dimension.high, dimension.log, dimension.step)
                points[path] = sorted({round(number) for number in numbers})
    return points


def _spread(low: float, high: float, log: bool, step: float | None) -> list[float]:
    if step and (high - low) / step < GRID_POINTS:
        return [low + step * n for n in range(math.floor((high - low) / step + 1e-9) + 1)]
    shares = [n / (GRID_POINTS - 1) for n in range(GRID_POINTS)] if high > low else [0.0]
    if log:
        return [low * (high / low) ** share for share in shares]
    return [_on_grid(low + (high - low) * share, low, high, step) for share in shares]
