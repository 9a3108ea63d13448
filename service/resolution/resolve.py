"""From the spec that a client sent to the one that runs: every default filled in, or a list of what cannot work."""

from dataclasses import dataclass

from service.errors import SpecError, summary
from service.reports.dataset import DatasetMeta
from service.reports.resolution import Advice, Estimates
from service.resolution.defaults import filled
from service.resolution.estimates import estimate
from service.resolution.validation import Limits, refuse
from service.resolution.warnings import advise
from service.specs import AnyJobSpec
from service.specs.training import TrainingPart
from service.specs.tune import TuneSpec


@dataclass(frozen=True)
class Resolution:
    """A spec that may run, what is unusual about it, and what it will cost."""

    spec: AnyJobSpec
    warnings: list[Advice]
    estimates: Estimates | None


def resolve(spec: AnyJobSpec, limits: Limits, data: DatasetMeta | None = None, *, gpu: bool = False) -> Resolution:
    """Fills every default that depends on other fields, and judges the result.

    `data` is what is known of the dataset (None while it is imported); `gpu` says that a worker has one.
    Raises SpecError with a pointer to each field that cannot work.
    """
    spec = filled(spec, data)
    training, prefix = training_of(spec)
    if errors := refuse(spec, training, prefix, limits, data):
        raise SpecError(summary(errors), errors)
    warnings = advise(training, prefix, data, gpu=gpu)
    return Resolution(spec, warnings, estimate(spec, training, data) if data else None)


def training_of(spec: AnyJobSpec) -> tuple[TrainingPart, str]:
    """The part of a spec that describes the training, and the pointer to it."""
    return (spec.train, "/train") if isinstance(spec, TuneSpec) else (spec, "")
