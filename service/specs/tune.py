"""The `tune` job: Optuna over a base `train` spec; and the internal jobs that run its trials beside it."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.specs.model import MAX_LAYERS, Width
from service.specs.optimizer import LearningRate
from service.specs.part import Count, FromJob, Name, Part, Reference, at_most
from service.specs.train import TrainFields
from service.specs.training import JobCommon

MAX_CHOICES = 100
MAX_VALUES = 500
"""Of the choices of all dimensions together: each is tried in the base spec when the search is submitted."""
Bound = Annotated[float, Field(ge=-1e12, le=1e12)]
Whole = Annotated[int, Field(gt=-(2**31), lt=2**31)]
Depth = Annotated[int, Field(ge=1, le=MAX_LAYERS)]


class FloatDimension(Part):
    """A number between `low` and `high`."""

    type: Literal["float"]
    low: Bound
    high: Bound
    log: bool = False
    """Draw uniformly in the logarithm."""
    step: float | None = Field(default=None, gt=0, le=1e12)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log, has_step=self.step is not None)
        return self


class IntDimension(Part):
    """An integer between `low` and `high`."""

    type: Literal["int"]
    low: Whole
    high: Whole
    log: bool = False
    step: Count = 1

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log, has_step=self.step != 1)
        return self


class CategoricalDimension(Part):
    """One of `choices`."""

    type: Literal["categorical"]
    choices: list[bool | Whole | float | Name | None] = Field(min_length=1, max_length=MAX_CHOICES)


class LayersDimension(Part):
    """A list of layer widths: how many layers, and how wide each."""

    type: Literal["layers"]
    depth: tuple[Depth, Depth] = (1, 4)
    width: tuple[Width, Width] = (64, 512)
    step: Width = 64

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        for name, (least, most) in (("depth", self.depth), ("width", self.width)):
            if least > most:
                raise ValueError(f"{name} must be [least, most]")
        return self


def _check_range(low: float, high: float, *, log: bool, has_step: bool) -> None:
    if low > high:
        raise ValueError("low must not be above high")
    if log and low <= 0:
        raise ValueError("a logarithmic range must start above 0")
    if log and has_step:
        raise ValueError("a logarithmic range cannot have a step")


Dimension = Annotated[
    FloatDimension | IntDimension | CategoricalDimension | LayersDimension, Field(discriminator="type")
]


def _is_bounded(space: dict[str, Dimension]) -> dict[str, Dimension]:
    values = sum(len(part.choices) for part in space.values() if isinstance(part, CategoricalDimension))
    if values > MAX_VALUES:
        raise ValueError(f"the space has {values} choices, and a search may have {MAX_VALUES} at most")
    return space


SearchSpace = Annotated[dict[Name, Dimension], AfterValidator(_is_bounded), at_most(50)]


class SearchFields(JobCommon):
    """What a search is: dotted paths of a `train` spec, and how their values are chosen and judged."""

    kind: Literal["tune", "tune-runner"]
    train: TrainFields
    """The base spec: a `train` spec without its kind."""
    search_space: SearchSpace = Field(min_length=1, max_length=50)
    """Dotted path into the train spec -> what may stand there, e.g. `optimizer.lr`."""
    n_trials: int = Field(default=50, ge=1, le=10_000)
    metric: Literal["val/accuracy", "val/loss", "val/macro_f1"] = "val/accuracy"
    sampler: Literal["auto", "tpe", "gp", "random", "cmaes", "grid"] = "auto"
    pruner: Literal["auto", "successive_halving", "hyperband", "median", "none"] = "auto"
    parallelism: int = Field(default=1, ge=1, le=64)
    """Trials that run at once, spread over the workers."""
    lr_find: FromJob | LearningRate | None = None
    """An `lr-find` job whose suggestion is the first trial's learning rate (or that learning rate)."""
    confirm_seeds: int = Field(default=0, ge=0, le=10)
    """Run the best configuration again with this many other seeds and report the spread."""

    @property
    def dataset(self) -> str:
        """The base spec's dataset."""
        return self.train.dataset


class TuneSpec(SearchFields):
    """Searches dotted paths of a `train` spec for the values with the best metric."""

    kind: Literal["tune"]


class TuneRunnerSpec(SearchFields):
    """One more runner of a search's trials; a `tune` job starts these itself, see `parallelism`."""

    kind: Literal["tune-runner"]
    study: Reference
    """Id of the `tune` job."""
    number: int = Field(ge=2)
    """Of the runners that share its study; the job itself is the first."""

    @classmethod
    def of(cls, spec: SearchFields, study: str, number: int) -> Self:
        """The job that runs trials of `spec` as the search's runner of this number."""
        limits = spec.limits.replace(seconds=None)  # the search's own time counts, and pauses its runners too
        own = {"kind": "tune-runner", "study": study, "number": number, "requires": [], "limits": limits}
        return cls.model_validate(spec.model_dump(mode="json", exclude={"kind"}) | own)
