"""Every learning-rate finder on ten set-ups: each suggestion is trained for a fixed budget, and held against the best
learning rate of a grid. Writes `benchmarks/results/lr_find.md`. Run: `make bench-lr-find`.
"""

import argparse
import copy
import functools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import lr_peers
from benchmarks.diagnosis.data import prepare
from service.errors import DivergedError
from service.events import EpochRecord, Reported
from service.reports.result import LrCurve
from service.resolution.defaults import filled
from service.specs.lr_find import LrFindSpec
from service.specs.train import TrainSpec
from worker.engine import models, run
from worker.engine.context import RunContext
from worker.engine.runtime import precision
from worker.engine.training import setup

RESULT = Path(__file__).parent / "results" / "lr_find.md"
MODELS: dict[str, dict[str, object]] = {
    "linear": {"family": "mlp", "hidden": []},
    "mlp": {"family": "mlp"},
    "mlp without batch norm": {"family": "mlp", "batch_norm": False},
    "4 x tanh": {
        "family": "mlp", "hidden": [128] * 4, "batch_norm": False, "activation": "tanh", "init": "xavier",
    },
    "cnn": {"family": "cnn", "channels": [8, 16], "hidden": [64]},
}  # fmt: skip
SETUPS: tuple[tuple[str, str, str], ...] = (
    ("digits", "linear", "sgd"),
    ("digits", "mlp", "sgd"),
    ("digits", "mlp", "adamw"),
    ("digits", "mlp without batch norm", "sgd"),
    ("digits", "4 x tanh", "adam"),
    ("digits", "cnn", "adamw"),
    ("fashion", "mlp", "adam"),
    ("fashion", "mlp without batch norm", "sgd"),
    ("fashion", "cnn", "sgd"),
    ("fashion", "cnn", "adamw"),
)
SIZES = {"digits": (1200, 400), "fashion": (2000, 1000)}
EPOCHS = {"digits": 10, "fashion": 6}
GRID = tuple(float(lr) for lr in 10.0 ** np.arange(-4, 0.01, 0.5))
SNAP = 16
"""Suggestions are trained at the nearest of 16 learning rates a decade, so that equal ones are trained once."""
OURS = "Trainwright"
RULES = (OURS, "fastai valley", "fastai minimum/10", "torch-lr-finder", "chapter, literal")


@dataclass(frozen=True)
class Case:
    """One set-up with one seed."""

    folder: Path
    data: str
    model: str
    optimizer: str
    seed: int

    def fields(self, lr: float | None = None) -> dict[str, object]:
        """The part of a spec that the case decides."""
        return {
            "dataset": "bench",
            "model": MODELS[self.model],
            "optimizer": {"name": self.optimizer, "lr": lr},
            "seed": self.seed,
        }

    @property
    def context(self) -> RunContext:
        """Where the case's data lie."""
        return RunContext(scratch=self.folder / "scratch", dataset=self.folder / self.data)


@functools.cache
def accuracy(case: Case, lr: float) -> float:
    """Validation accuracy after the budget with the engine's own defaults (cosine, 5 % warmup, clipping at 1)."""
    quiet = {"early_stopping": None, "gradients": None, "diagnose": False, "checkpoint": {"every_seconds": 1e9}}
    spec = TrainSpec.model_validate({"kind": "train", "epochs": EPOCHS[case.data], **quiet, **case.fields(lr)})
    last = 0.1
    try:
        for event in run(spec, case.context):
            if isinstance(event, EpochRecord):
                last = event.val["accuracy"]
    except DivergedError:
        return 0.1
    return last


def snapped(lr: float) -> float:
    """The learning rate that a suggestion is trained at."""
    return float(10 ** (round(np.log10(lr) * SNAP) / SNAP))


def ours(case: Case, rule: str) -> LrCurve:
    """The `lr-find` job's curve."""
    spec = LrFindSpec.model_validate({"kind": "lr-find", "rule": rule, **case.fields()})
    reports = [event.report for event in run(spec, case.context) if isinstance(event, Reported)]
    return next(report for report in reports if isinstance(report, LrCurve))


def peers(case: Case) -> Iterator[lr_peers.Peer]:
    """The peers on the same start weights, samples and optimizer."""
    spec = filled(LrFindSpec.model_validate({"kind": "lr-find", **case.fields()}))
    setup.start(spec, case.context)
    dataset = setup.open_dataset(case.context)
    model = setup.build_model(spec, dataset, precision.Precision(torch.device("cpu")), case.context)
    source = setup.train_batches(spec, dataset, torch.device("cpu"), 64).source
    data: tuple[Tensor, Tensor] = (source.read(torch.arange(len(source.labels_N))), source.labels_N)
    assert models.count_parameters(model).trainable
    for find in (lr_peers.torch_lr_finder, lr_peers.fastai):
        yield find(copy.deepcopy(model), spec.optimizer, data, case.seed)


def likeness(curve: LrCurve, peer: lr_peers.Peer) -> float:
    """Correlation of two curves over log lr, as far as both fall (up to the lower of the two minima)."""
    points = [point for point in curve.points if point.smoothed is not None]
    lrs, losses = np.array([point.lr for point in points]), np.array([point.smoothed for point in points])
    end = max(int(np.argmin(losses)), 10)
    theirs = np.interp(np.log(lrs[:end]), np.log(peer.lrs), peer.losses)
    return float(np.corrcoef(losses[:end], theirs)[0, 1])


def compare(case: Case) -> tuple[dict[str, float], list[float]]:
    """The suggestion of each rule, and how like the peers' our curve is."""
    curve = ours(case, "probe")
    suggested = {OURS: curve.suggested, "chapter, literal": ours(case, "chapter").suggested}
    likenesses = []
    for peer in peers(case):
        suggested |= peer.suggested
        likenesses.append(likeness(curve, peer))
    return suggested, likenesses


@dataclass(frozen=True)
class Row:
    """A set-up: the grid's best mean accuracy, each rule's median lr and the points it lost on average."""

    name: str
    best: float
    best_lr: float
    lrs: Mapping[str, float]
    lost: Mapping[str, float]
    likenesses: tuple[float, ...]


def measure(folder: Path, setup_: tuple[str, str, str], seeds: int) -> Row:
    """One row of the table."""
    cases = [Case(folder, *setup_, seed) for seed in range(seeds)]
    grid = {lr: float(np.mean([accuracy(case, lr) for case in cases])) for lr in GRID}
    best_lr = max(grid, key=lambda lr: grid[lr])
    compared = [compare(case) for case in cases]
    reached = {
        rule: np.mean(
            [accuracy(case, snapped(suggested[rule])) for case, (suggested, _) in zip(cases, compared, strict=True)]
        )
        for rule in RULES
    }
    return Row(
        name=", ".join(setup_),
        best=grid[best_lr],
        best_lr=best_lr,
        lrs={rule: float(np.median([suggested[rule] for suggested, _ in compared])) for rule in RULES},
        lost={rule: 100 * (grid[best_lr] - float(reached[rule])) for rule in RULES},
        likenesses=tuple(np.mean([likenesses for _, likenesses in compared], axis=0)),
    )


def table(rows: list[Row], seeds: int) -> str:
    """The page that is written."""
    lines = [
        "# Learning-rate finders",
        "",
        f"Each suggestion was trained for a fixed budget ({EPOCHS['digits']} epochs of {SIZES['digits'][0]} digits, "
        f"{EPOCHS['fashion']} epochs of {SIZES['fashion'][0]} FashionMNIST images, batch 64, cosine with warmup, "
        f"{seeds} seeds).",
        "A cell is the suggested learning rate and the points of validation accuracy that it lost against the best of "
        f"{len(GRID)} learning rates from {GRID[0]:g} to {GRID[-1]:g} (negative: better than all of them).",
        "`likeness` is the correlation of our curve with torch-lr-finder's and fastai's, up to its minimum.",
        "Trainwright's rule was chosen among some 24 on sweeps of nine of these set-ups (all but `fashion, cnn, sgd`; "
        "seeds 0 and 1), so the table flatters it.",
        "Made by `make bench-lr-find`.",
        "",
        "| data, model, optimizer | best of grid | " + " | ".join(RULES) + " | likeness |",
        "|---|---|" + "---|" * (len(RULES) + 1),
    ]
    for row in rows:
        cells = " | ".join(f"{row.lrs[rule]:.1e} ({row.lost[rule]:+.1f})" for rule in RULES)
        like = ", ".join(f"{value:.2f}" for value in row.likenesses)
        lines.append(f"| {row.name} | {row.best:.1%} at {row.best_lr:.0e} | {cells} | {like} |")
    means = {rule: float(np.mean([row.lost[rule] for row in rows])) for rule in RULES}
    worst = {rule: max(row.lost[rule] for row in rows) for rule in RULES}
    lines.append("| **points lost, mean** | | " + " | ".join(f"**{means[rule]:.1f}**" for rule in RULES) + " | |")
    lines.append("| points lost, worst | | " + " | ".join(f"{worst[rule]:.1f}" for rule in RULES) + " | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, help="the first so many set-ups")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (train, val) in SIZES.items():
            prepare(Path(folder) / name, name, "plain", 0, train, val)
        for setup_ in SETUPS[: chosen.only]:
            rows.append(measure(Path(folder), setup_, chosen.seeds))
            print(rows[-1], flush=True)
    page = table(rows, chosen.seeds)
    if chosen.only is None:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
