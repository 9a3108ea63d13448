"""The engine: pure PyTorch. `for event in run(spec, context): ...` is all there is to call.

Each kind is imported when its first job runs, so that a supervisor can import the context without loading torch; the
training processes have everything from `preload`.
"""

from collections.abc import Iterator
from typing import assert_never

from service.errors import DataError
from service.events import Event, Reported
from service.reports.dataset import DatasetMeta
from service.reports.names import ReportName
from service.resolution.defaults import filled
from service.specs import AnyEngineSpec
from service.specs.batch_size import BatchSizeSpec
from service.specs.lr_find import LrFindSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from service.specs.tune import TuneRunnerSpec, TuneSpec
from worker.engine.context import RunContext

TOO_FEW_SAMPLES = "Expected more than 1 value per channel"
"""Part of the message of torch's batch norm when a batch has one sample."""


def run(spec: AnyEngineSpec, context: RunContext) -> Iterator[Event]:
    """Runs one job and yields what happens; the last event is `Stopped` unless a RunError is raised.

    What the spec leaves open is filled as at submission, from the data and from the values that stand there now (a
    learning rate may have come from another job).
    """
    try:
        yield _environment(context)
        yield from _run(filled(spec, _meta(context)), context)
    except ValueError as error:
        if TOO_FEW_SAMPLES not in str(error):
            raise
        detail = "batch norm needs at least 2 samples a step: use a larger batch_size, or a model without batch norm"
        raise DataError(detail) from error


def _meta(context: RunContext) -> DatasetMeta | None:
    if context.dataset is None:
        return None
    return DatasetMeta.model_validate_json((context.dataset / "meta.json").read_bytes())


def _environment(context: RunContext) -> Event:
    from worker.engine.runtime.environment import describe_environment

    return Reported(ReportName.ENVIRONMENT, describe_environment(context.device, context.threads))


def _run(spec: AnyEngineSpec, context: RunContext) -> Iterator[Event]:
    match spec:
        case TrainSpec():
            from worker.engine.kinds.train import run_train

            yield from run_train(spec, context)
        case LrFindSpec():
            from worker.engine.kinds.lr_find import run_lr_find

            yield from run_lr_find(spec, context)
        case SanitySpec():
            from worker.engine.kinds.sanity import run_sanity

            yield from run_sanity(spec, context)
        case BatchSizeSpec():
            from worker.engine.kinds.batch_size import run_batch_size

            yield from run_batch_size(spec, context)
        case TuneSpec():
            from worker.engine.kinds.tune import run_tune

            yield from run_tune(spec, context)
        case TuneRunnerSpec():
            from worker.engine.kinds.tune import run_tune_runner

            yield from run_tune_runner(spec, context)
        case _:
            assert_never(spec)
