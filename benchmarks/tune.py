"""50 trials of a search against one plain Optuna process that rebuilds its loaders in every trial.

The plain loop runs every fifth of our trials again: the same values, epochs and images, nothing pruned in either, ours
with its study in SQLite as in the service, the plain one in memory. Ours are charged for their share of all that the
job does beside its trials. A second row says what our default pruner adds, which the plain loop does not have.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch import nn

from benchmarks.data import fashion_mnist, pack
from benchmarks.measure import Measure
from benchmarks.peers import Arrays, Pictures
from service.events import Reported
from service.reports.names import ReportName
from service.reports.result import Trial, TuneReport
from service.specs import JOB_SPEC
from worker.engine import run
from worker.engine.context import RunContext

SAMPLES, HELD_OUT, EPOCHS, TRIALS, PEER_EVERY, THREADS = 3200, 320, 3, 50, 5, 1


def measure() -> list[Measure]:
    """Trials a minute of both."""
    images_NHW, labels_N = fashion_mnist()
    data: Arrays = (images_NHW[:SAMPLES], labels_N[:SAMPLES])
    trials, ours = _ours(data, pruner="none")
    again = trials[::PEER_EVERY]
    theirs = _plain_optuna(data, again)
    pruned, default = _ours(data, pruner="auto")
    share = sum(trial.duration_seconds or 0 for trial in again) / sum(trial.duration_seconds or 0 for trial in trials)
    plain = 60 * len(again) / theirs
    same, usual = 60 * len(again) / (ours * share), 60 * len(pruned) / default
    return [
        Measure(
            "tune, trials a minute / plain Optuna loop, the same trials",
            same / plain,
            3,
            note=f"{same:.0f} against {plain:.0f} a minute, {len(again)} trials, nothing pruned, one thread",
        ),
        Measure(
            "tune, trials a minute / plain Optuna loop, with our default pruner",
            usual / plain,
            3,
            note=f"{usual:.0f} against {plain:.0f} a minute",
        ),
    ]


def _ours(data: Arrays, pruner: str) -> tuple[list[Trial], float]:
    """The trials and the seconds from the start of the job to its end, the best trial's reports included."""
    spec = JOB_SPEC.validate_python(
        {
            "kind": "tune",
            "train": {"dataset": "bench", "epochs": EPOCHS, "model": {"family": "mlp", "batch_norm": False}},
            "search_space": {
                "optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
                "model.hidden": {"type": "layers", "depth": [1, 4], "width": [64, 512], "step": 64},
                "model.dropout": {"type": "float", "low": 0.1, "high": 0.5},
                "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
            },
            "n_trials": TRIALS,
            "pruner": pruner,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder) / "data", *data, held_out=HELD_OUT)
        context = RunContext(
            scratch=Path(folder) / "scratch",
            dataset=Path(folder) / "data",
            threads=THREADS,
            study_url=f"sqlite:///{folder}/study.db",
        )
        start = time.perf_counter()
        reports = {event.name: event.report for event in run(spec, context) if isinstance(event, Reported)}
        seconds = time.perf_counter() - start
    result = reports[ReportName.RESULT]
    assert isinstance(result, TuneReport)
    return result.data, seconds


def _plain_optuna(data: Arrays, trials: list[Trial]) -> float:
    """Seconds of a usual Optuna objective with its training loop written out, for the same trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(THREADS)
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        study.enqueue_trial(_parameters(trial.params))
    start = time.perf_counter()
    study.optimize(lambda trial: _objective(trial, data), n_trials=len(trials))
    return time.perf_counter() - start


def _parameters(params: dict[str, Any]) -> dict[str, Any]:
    widths = params["model.hidden"]
    named = {"lr": params["optimizer.lr"], "dropout": params["model.dropout"], "batch_size": params["batch_size"]}
    return named | {"layers": len(widths)} | {f"width_{number}": width for number, width in enumerate(widths)}


def _objective(trial: optuna.Trial, data: Arrays) -> float:
    """New datasets and loaders in every trial."""
    lr = trial.suggest_float("lr", 1e-5, 1e-2, log=True)
    dropout, size = trial.suggest_float("dropout", 0.1, 0.5), 784
    batch_size = trial.suggest_categorical("batch_size", [32, 64, 128])
    layers: list[nn.Module] = [nn.Flatten()]
    for number in range(trial.suggest_int("layers", 1, 4)):
        width = trial.suggest_int(f"width_{number}", 64, 512, step=64)
        layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(dropout)]
        size = width
    model = nn.Sequential(*layers, nn.Linear(size, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    held_out = (data[0][:HELD_OUT], data[1][:HELD_OUT])
    train = torch.utils.data.DataLoader(Pictures(*data, augment=False), batch_size=batch_size, shuffle=True)
    val = torch.utils.data.DataLoader(Pictures(*held_out, augment=False), batch_size=256)
    for _ in range(EPOCHS):
        model.train()
        for images_BCHW, labels_B in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images_BCHW), labels_B).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            hits = [(model(images).argmax(1) == labels).numpy() for images, labels in val]
    return float(np.concatenate(hits).mean())
