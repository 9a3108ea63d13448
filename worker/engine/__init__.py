"""The engine: pure PyTorch. `for event in run(spec, context): ...` is all there is to call."""

from collections.abc import Iterator

from service.events import Event
from service.specs import AnyStoredSpec
from service.specs.dataset import ImportSpec
from service.specs.lr_find import LrFindSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from worker.engine.context import RunContext
from worker.engine.data.importing import run_import
from worker.engine.lr_find import run_lr_find
from worker.engine.sanity import run_sanity
from worker.engine.train import run_train


def run(spec: AnyStoredSpec, context: RunContext) -> Iterator[Event]:
    """Runs one job and yields what happens; the last event is `Stopped` unless a RunError is raised."""
    match spec:
        case TrainSpec():
            yield from run_train(spec, context)
        case LrFindSpec():
            yield from run_lr_find(spec, context)
        case SanitySpec():
            yield from run_sanity(spec, context)
        case ImportSpec():
            yield from run_import(spec, context)
        case _:
            raise TypeError(f"no engine for {type(spec).__name__}")
