"""Requests: what a client may ask for. `JobSpec` is a discriminated union on `kind`, one file per kind."""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from service.specs.batch_size import BatchSizeSpec
from service.specs.dataset import ImportSpec
from service.specs.lr_find import LrFindSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from service.specs.tune import TuneRunnerSpec, TuneSpec

AnyJobSpec = TrainSpec | LrFindSpec | SanitySpec | BatchSizeSpec | TuneSpec
AnyEngineSpec = AnyJobSpec | TuneRunnerSpec
AnyStoredSpec = AnyEngineSpec | ImportSpec
JobSpec = Annotated[AnyJobSpec, Field(discriminator="kind")]
StoredSpec = Annotated[AnyStoredSpec, Field(discriminator="kind")]
JOB_SPEC: TypeAdapter[AnyJobSpec] = TypeAdapter(JobSpec)
STORED_SPEC: TypeAdapter[AnyStoredSpec] = TypeAdapter(StoredSpec)


def _kinds(specs: object) -> tuple[str, ...]:
    return tuple(get_args(spec.model_fields["kind"].annotation)[0] for spec in get_args(specs))


KINDS = _kinds(AnyJobSpec)
INTERNAL_KINDS = tuple(kind for kind in _kinds(AnyStoredSpec) if kind not in KINDS)
"""Jobs that the service submits itself; lists show them only when asked for."""
