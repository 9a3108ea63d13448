"""50 trials of a search against one plain Optuna process that rebuilds its loaders in every trial (chapter, 5.3)."""

import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
import torch
from torch import nn

from benchmarks.data import fashion_mnist, pack
from benchmarks.measure import Measure
from benchmarks.peers import Arrays, Pictures
from service.events import Reported
from service.reports.result import Trial
from service.specs import JOB_SPEC
from worker.engine import run
from worker.engine.context import RunContext

SAMPLES, EPOCHS, TRIALS, PEER_TRIALS = 3200, 3, 50, 5


def measure() -> list[Measure]:
    """Trials a minute of both; the plain loop runs fewer of them, for they all cost the same."""
    images_NHW, labels_N = fashion_mnist()
    data: Arrays = (images_NHW[:SAMPLES], labels_N[:SAMPLES])
    ours, theirs = _ours(data), _plain_optuna(data)
    note = f"{ours:.0f} against {theirs:.0f} trials a minute"
    return [Measure("tune, trials a minute / plain Optuna loop", ours / theirs, 3, note=note)]


def _ours(data: Arrays) -> float:
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
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder) / "data", *data, held_out=320)
        start = time.perf_counter()
        events = run(spec, RunContext(scratch=Path(folder) / "scratch", dataset=Path(folder) / "data", threads=2))
        trials = {event.name for event in events if isinstance(event, Reported) and isinstance(event.report, Trial)}
        return 60 * len(trials) / (time.perf_counter() - start)


def _plain_optuna(data: Arrays) -> float:
    """The chapter's objective with its training loop written out: new datasets and loaders in every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    held_out = (data[0][:320], data[1][:320])

    def objective(trial: optuna.Trial) -> float:
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

    start = time.perf_counter()
    optuna.create_study(direction="maximize").optimize(objective, n_trials=PEER_TRIALS)
    return 60 * PEER_TRIALS / (time.perf_counter() - start)
