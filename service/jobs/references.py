"""What a spec refers to by id or name: its dataset, the jobs whose results it takes, the jobs it waits for."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.errors import FieldError, SpecError
from service.resolution.resolve import training_of
from service.specs import AnyJobSpec
from service.specs.model import TorchvisionSpec
from service.specs.part import FromJob
from service.specs.train import TrainFields
from service.specs.tune import TuneSpec


class Need(NamedTuple):
    """Another job that a spec names."""

    job_id: str
    role: str
    """`requires` (a gate), or what is taken from its result: `lr`, `batch_size`, `weights`, `lr_find`."""
    pointer: str


# Whose results can give what.
GIVERS: dict[str, tuple[str, ...]] = {
    "lr": ("lr-find",),
    "lr_find": ("lr-find",),
    "batch_size": ("batch-size",),
    "weights": ("train", "tune"),
}


@dataclass(frozen=True)
class Given:
    """What is known of a job that is referred to."""

    kind: str
    state: str


def needs(spec: AnyJobSpec) -> Iterator[Need]:
    """Every job that the spec names."""
    for index, job_id in enumerate(spec.requires):
        yield Need(job_id, "requires", f"/requires/{index}")
    part, prefix = training_of(spec)
    if isinstance(part.optimizer.lr, FromJob):
        yield Need(part.optimizer.lr.from_job, "lr", f"{prefix}/optimizer/lr/from_job")
    if isinstance(part, TrainFields) and isinstance(part.batch_size, FromJob):
        yield Need(part.batch_size.from_job, "batch_size", f"{prefix}/batch_size/from_job")
    if isinstance(part.model, TorchvisionSpec) and isinstance(part.model.weights, FromJob):
        yield Need(part.model.weights.from_job, "weights", f"{prefix}/model/weights/from_job")
    if isinstance(spec, TuneSpec) and isinstance(spec.lr_find, FromJob):
        yield Need(spec.lr_find.from_job, "lr_find", "/lr_find/from_job")


def fault(need: Need, given: Given | None) -> FieldError | None:
    """Why this reference can never be followed, if so."""
    if given is None:
        return FieldError(pointer=need.pointer, detail=f"there is no job {need.job_id}")
    allowed = GIVERS.get(need.role)
    if allowed and given.kind not in allowed:
        kinds = " or ".join(f"`{kind}`" for kind in allowed)
        return FieldError(pointer=need.pointer, detail=f"job {need.job_id} is a `{given.kind}` job; this takes {kinds}")
    # A gate that was missed fails the job when it is stored; a value that will never come is refused here.
    if need.role != "requires" and given.state in ("failed", "cancelled"):
        return FieldError(pointer=need.pointer, detail=f"job {need.job_id} is {given.state} and gives no value")
    return None


def refused_dataset(name: str, prefix: str, *, known: Sequence[str] = (), failed: str | None = None) -> SpecError:
    """The error for a dataset that is not there (with the nearest known name), or whose import failed."""
    if failed is not None:
        detail = f"the import of `{name}` failed; GET /v1/datasets/{failed} says why"
    else:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else "POST /v1/datasets imports one"
        detail = f"there is no dataset `{name}`; {hint}"
    return SpecError(detail, [FieldError(pointer=f"{prefix}/dataset", detail=detail)])
