"""Requests: what a client may ask for. `JobSpec` is a discriminated union on `kind`, one file per kind."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from service.specs.batch_size import BatchSizeSpec
from service.specs.dataset import ImportSpec
from service.specs.lr_find import LrFindSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from service.specs.tune import TuneRunnerSpec, TuneSpec

JobSpec = Annotated[TrainSpec | LrFindSpec | SanitySpec | BatchSizeSpec | TuneSpec, Field(discriminator="kind")]
StoredSpec = Annotated[
    TrainSpec | LrFindSpec | SanitySpec | BatchSizeSpec | TuneSpec | ImportSpec | TuneRunnerSpec,
    Field(discriminator="kind"),
]
AnyJobSpec = TrainSpec | LrFindSpec | SanitySpec | BatchSizeSpec | TuneSpec
AnyEngineSpec = AnyJobSpec | TuneRunnerSpec
AnyStoredSpec = AnyEngineSpec | ImportSpec
JOB_SPEC: TypeAdapter[AnyJobSpec] = TypeAdapter(JobSpec)
STORED_SPEC: TypeAdapter[AnyStoredSpec] = TypeAdapter(StoredSpec)
KINDS: tuple[str, ...] = ("train", "lr-find", "sanity", "batch-size", "tune")
INTERNAL_KINDS: tuple[str, ...] = ("import", "tune-runner")
"""Jobs that the service submits itself; lists show them only when asked for."""
