"""The files of a run: resume state, best weights, model file; each is complete and synced when it is announced."""

import uuid
from collections.abc import Iterator

from service.events import Event, FileSaved
from worker.engine.training import checkpoints
from worker.engine.training.state import TrainingState


def save_last(run: TrainingState) -> FileSaved:
    """Writes the resume state under a name of its own: the one before stays until this one is complete."""
    path = checkpoints.save(run.context.scratch / f"step-{run.step:08d}.pt", run.snapshot())
    run.saved.position = run.position
    return FileSaved("last", path.name, path, run.step, run.last_epoch, {})


def save_best(run: TrainingState) -> FileSaved:
    """Writes the best epoch's weights as a model file that can be downloaded while the run goes on.

    Its path is its own, like that of every resume state: whoever takes the files over may be late, and another trial of
    a search may be at its best in the same step.
    """
    weights = run.whole(run.best.weights)
    name = f"best-{run.best.step:08d}-{uuid.uuid4().hex[:12]}.safetensors"
    path = checkpoints.save_model(run.context.scratch / name, weights, about(run))
    run.saved.best_step = run.best.step
    return FileSaved("best", "best.safetensors", path, run.best.step, run.best.epoch, run.best.metrics)


def save_model(run: TrainingState) -> FileSaved:
    """Writes the run's final product: the best weights."""
    weights = run.whole(run.best.weights)
    path = checkpoints.save_model(run.context.scratch / "model.safetensors", weights, about(run))
    return FileSaved("model", path.name, path, run.best.step, run.best.epoch, run.best.metrics)


def save_state(run: TrainingState) -> Iterator[Event]:
    """The resume state and the best weights so far, unless these very ones are saved already."""
    if run.saved.position != run.position:
        yield save_last(run)
    if run.best.weights and run.saved.best_step != run.best.step:
        yield save_best(run)


def about(run: TrainingState) -> dict[str, object]:
    """What it takes to use a model file: its spec, classes, input shape and normalisation."""
    return {
        "model": run.spec.network.model_dump(mode="json"),
        "classes": run.meta.classes,
        "shape": run.meta.shape,
        "modality": run.meta.modality,
        "mean": list(run.normalisation.mean),
        "std": list(run.normalisation.std),
    }
