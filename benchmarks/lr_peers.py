"""What torch-lr-finder and fastai suggest for a network, its data and its optimizer: the packages themselves, as their
documentation uses them.
"""

import functools
import io
import tempfile
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.specs.optimizer import OptimizerSpec
from worker.engine.training.optimizers import build_optimizer

mpl.use("Agg")
LR_MIN, LR_MAX, STEPS = 1e-7, 1.0, 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peer:
    """A peer's curve and what it suggests, by the name of its rule."""

    lrs: Floats
    losses: Floats
    suggested: dict[str, float]


def loader(
    inputs: Tensor, labels_N: Tensor, batch_size: int, seed: int
) -> torch.utils.data.DataLoader[tuple[Tensor, ...]]:
    """Shuffled batches of the same normalised samples."""
    data = torch.utils.data.TensorDataset(inputs, labels_N)
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(data, batch_size, shuffle=True, drop_last=True, generator=generator)


def torch_lr_finder(model: nn.Module, spec: OptimizerSpec, data: tuple[Tensor, Tensor], seed: int) -> Peer:
    """`LRFinder.range_test` and the suggestion of its `plot`."""
    from matplotlib import pyplot as plt
    from torch_lr_finder import LRFinder

    optimizer = build_optimizer(model, spec)
    for group in optimizer.param_groups:
        group["lr"] = LR_MIN
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        finder = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
        finder.range_test(loader(*data, 64, seed), end_lr=LR_MAX, num_iter=STEPS)
        _, suggested = finder.plot(suggest_lr=True)
        plt.close("all")
    lrs, losses = (np.array(finder.history[name], float) for name in ("lr", "loss"))
    return Peer(lrs, losses, {"torch-lr-finder": float(suggested)})


def fastai(model: nn.Module, spec: OptimizerSpec, data: tuple[Tensor, Tensor], seed: int) -> Peer:
    """`Learner.lr_find` with its `valley` (the default) and `minimum` (a tenth of it) suggestions."""
    from fastai.callback.schedule import minimum, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    torch.manual_seed(seed)
    batches = loader(*data, 64, seed)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    extra = {"momentum": spec.momentum} if spec.name == "sgd" else {}
    make = functools.partial(OptimWrapper, opt=kinds[spec.name], **extra)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner = Learner(
            DataLoaders(batches, batches), model, loss_func=nn.CrossEntropyLoss(), opt_func=make, path=Path(folder)
        )
        with learner.no_bar(), learner.no_logging():
            suggested = learner.lr_find(LR_MIN, LR_MAX, STEPS, show_plot=False, suggest_funcs=(valley, minimum))
    lrs, losses = np.array(learner.recorder.lrs, float), np.array([float(loss) for loss in learner.recorder.losses])
    return Peer(
        lrs[: len(losses)], losses, {"fastai valley": float(suggested[0]), "fastai minimum/10": float(suggested[1])}
    )
