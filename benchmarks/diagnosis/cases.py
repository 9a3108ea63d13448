"""The faults, the healthy controls, and the models they are put into; development and held-out ones apart."""

from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.diagnosis.runs import Setup

Patch = dict[str, Any]
TOO_HIGH = frozenset({"D1", "D8", "D10", "D11", "D14", "D15"})


@dataclass(frozen=True)
class Fault:
    """A mistake, and the rules that may name it; a mixture has one set for each of its mistakes."""

    name: str
    source: str
    """Where it comes from: `error n` of the common errors, `row n` of the curves' table, `gradients`, `mixture`."""
    named_by: tuple[frozenset[str], ...]
    patch: Patch = field(default_factory=dict)
    twist: str = "plain"
    injection: str | None = None
    remedy: Literal["spec", "code", "data"] = "spec"
    """What mends it: a patch of the spec (measured), the user's code, or the data."""
    train: int = 400
    val: int = 300
    only: tuple[str, ...] = ()
    """Families that it applies to; empty: all."""


def by(*rules: str) -> tuple[frozenset[str], ...]:
    """One mistake, named by any of these rules."""
    return (frozenset(rules),)


MANY = 1000
"""Val samples where the remedies are worth a point or two of accuracy, which 300 cannot tell from chance."""

OVERFIT: Patch = {
    "early_stopping": None,
    "epochs": 60,
    "optimizer": {"name": "adam", "lr": 1e-2, "weight_decay": 0.0},
    "schedule": {"name": "constant"},
    "model.dropout": 0.0,
}
DEEP_SIGMOID: Patch = {
    "model": {"family": "mlp", "hidden": [32] * 10, "batch_norm": False, "activation": "sigmoid", "init": "default"}
}

NOT_NORMALISED: Patch = {"preprocess.normalize": "none", "model.batch_norm": False}
"""Batch norm after the first layer undoes the inputs' scale (on development runs accuracy was often the same to the
digit with and without normalisation): where the mistake costs nothing, there is nothing to mend."""

FAULTS: tuple[Fault, ...] = (
    Fault("raw features", "error 1", by("D2"), NOT_NORMALISED, twist="raw features", val=MANY, only=("mlp",)),
    Fault(
        "images left on 0-1",
        "error 1",
        by("D2"),
        NOT_NORMALISED | {"optimizer": {"name": "sgd", "lr": 0.01}},
        val=MANY,
    ),
    Fault("sgd lr 30", "error 2", (TOO_HIGH,), {"optimizer": {"name": "sgd", "lr": 30.0}}),
    Fault("adamw lr 3", "error 2", (TOO_HIGH,), {"optimizer": {"name": "adamw", "lr": 3.0}}),
    Fault("lr 100, no clipping", "row 5", (TOO_HIGH,), {"optimizer": {"name": "sgd", "lr": 100.0}, "clip_norm": None}),
    Fault(
        "constant lr that oscillates",
        "row 4",
        (TOO_HIGH,),
        {"optimizer": {"name": "adam", "lr": 0.3}, "schedule": {"name": "constant"}},
    ),
    Fault("adamw lr 1e-7", "error 3", by("D9", "D8"), {"optimizer": {"name": "adamw", "lr": 1e-7}}),
    Fault("sgd lr 1e-6", "error 3", by("D9", "D8"), {"optimizer": {"name": "sgd", "lr": 1e-6}}),
    Fault("adamw lr 1e-5", "row 6", by("D9", "D8", "D12"), {"optimizer": {"name": "adamw", "lr": 1e-5}}),
    Fault("clipped to nothing", "row 6", by("D9", "D8"), {"optimizer": {"name": "sgd", "lr": 0.01}, "clip_norm": 1e-4}),
    Fault("sorted, not shuffled", "error 4", by("C2"), {"shuffle": False}, twist="sorted"),
    Fault("sigmoid before cross entropy", "error 5", by("D4"), injection="sigmoid output", remedy="code"),
    Fault("gradient ascent", "error 5", (TOO_HIGH,), injection="ascent", remedy="code"),
    Fault("softmax before cross entropy", "error 6", by("D4"), injection="softmax output", remedy="code"),
    Fault(
        "gradients never zeroed",
        "error 8",
        (TOO_HIGH | {"C1"},),
        {"optimizer": {"name": "sgd", "lr": 0.03}, "clip_norm": None},
        injection="no zero_grad",
        remedy="code",
    ),
    Fault(
        "evaluation in train mode", "error 9", by("C1"), {"model.dropout": 0.5}, injection="never eval", remedy="code"
    ),
    Fault("val not normalised", "error 10", by("D3"), injection="val not normalised", remedy="code"),
    Fault("val colours inverted", "error 10", by("D3"), injection="val inverted", remedy="code"),
    Fault("val classes in another order", "row 7", by("D3"), twist="permuted val labels", remedy="data"),
    Fault("train copied into val", "error 11", by("D16"), twist="leaked", remedy="data"),
    Fault("NaN among the features", "row 5", by("D1", "C1"), twist="not finite", remedy="data", only=("mlp",)),
    Fault("labels of other samples", "row 6", by("D3", "D6", "D8", "D12"), twist="shuffled labels", remedy="data"),
    Fault("few samples, long training", "row 2", by("D5", "D6"), OVERFIT, train=50, val=MANY),
    Fault(
        "noisy labels learned by heart",
        "row 2",
        by("D5", "D6"),
        OVERFIT | {"epochs": 40},
        twist="noise 40%",
        val=MANY,
    ),
    Fault("one hidden unit", "row 3", by("D12", "D8"), {"model.hidden": [1]}),
    Fault("dropout 0.95", "row 3", by("D12", "D8"), {"model.dropout": 0.97}),
    Fault(
        "weight decay 1 with sgd",
        "row 3",
        by("D12", "D8", "D11"),
        {"optimizer": {"name": "sgd", "lr": 0.05, "weight_decay": 1.0}},
    ),
    Fault(
        "lr gone after two epochs",
        "row 3",
        by("D12", "D8", "D9"),
        {"schedule": {"name": "step", "step_epochs": 1, "gamma": 0.02}},
    ),
    Fault("ten sigmoid layers", "gradients", by("D13", "D8", "D10"), DEEP_SIGMOID),
    Fault(
        "weights start near zero",
        "gradients",
        by("D13", "D8", "D9", "D12", "D15", "C1"),
        {"model.batch_norm": False},
        injection="tiny weights",
        remedy="code",
    ),
    Fault(
        "weights start far too large",
        "gradients",
        by("D14", "D1", "C1"),
        {"model.batch_norm": False, "clip_norm": None},
        injection="huge weights",
        remedy="code",
    ),
    Fault(
        "units start dead",
        "gradients",
        by("D15", "D8", "D10"),
        {"model.activation": "relu"},
        injection="dead units",
        remedy="code",
    ),
    Fault("a layer without gradient", "row 6", by("C1"), injection="detached", remedy="code"),
    Fault("samples mixed in the forward pass", "check-up", by("C1"), injection="mixes samples", remedy="code"),
    Fault(
        "not normalised and lr too high",
        "mixture",
        (frozenset({"D2"}), TOO_HIGH),
        {"preprocess.normalize": "none", "optimizer": {"name": "adamw", "lr": 3.0}},
    ),
    Fault(
        "softmax and no shuffle",
        "mixture",
        (frozenset({"D4"}), frozenset({"C2"})),
        {"shuffle": False},
        injection="softmax output",
        remedy="code",
    ),
    Fault(
        "mismatch and overfitting",
        "mixture",
        by("D3"),
        OVERFIT,
        injection="val not normalised",
        remedy="code",
        train=50,
    ),
    Fault(
        "lr too low and no shuffle",
        "mixture",
        (frozenset({"D9", "D8"}), frozenset({"C2"})),
        {"shuffle": False, "optimizer": {"name": "adamw", "lr": 1e-7}},
        twist="sorted",
    ),
)


@dataclass(frozen=True)
class Control:
    """A healthy kind of run."""

    name: str
    patch: Patch = field(default_factory=dict)
    twist: str = "plain"
    train: int = 400
    only: tuple[str, ...] = ()
    """Families that it applies to; empty: all."""
    pretrained: bool = False


TUNED: Patch = {
    "model": {
        "family": "torchvision",
        "arch": "shufflenet_v2_x0_5",
        "weights": {"path": "the first run's"},
        "image_size": 32,
        "mode": "full",
    },
    "optimizer": {"lr": 3e-4},
    "epochs": 12,
}

CONTROLS: tuple[Control, ...] = (
    Control("default"),
    Control("small data", {"batch_size": 16}, train=120),
    Control("long training", {"epochs": 60}),
    Control("modest label noise", {"model.dropout": 0.4}, twist="noise 15%"),
    Control("imbalanced", twist="imbalanced"),
    Control("imbalanced, weighted", {"loss.class_weights": "balanced"}, twist="imbalanced"),
    Control("tiny batch", {"batch_size": 4}),
    Control("large batch", {"batch_size": 128, "epochs": 40}),
    Control("sgd", {"optimizer": {"name": "sgd", "lr": 0.03}}),
    Control("adam, constant lr", {"optimizer": {"name": "adam"}, "schedule": {"name": "constant"}}),
    Control("one-cycle", {"schedule": {"name": "one-cycle"}, "optimizer.lr": 3e-3}),
    Control("plateau schedule", {"schedule": {"name": "reduce-on-plateau", "patience": 3}}),
    Control("strong dropout", {"model.dropout": 0.5}),
    Control("strong dropout, no early stopping", {"model.dropout": 0.5, "early_stopping": None}),
    Control("early-stopped", {"epochs": 80, "early_stopping.patience": 5}),
    Control("label smoothing", {"loss.label_smoothing": 0.1}),
    Control("small lr, more epochs", {"optimizer.lr": 3e-4, "epochs": 50}),
    Control("two classes", twist="two classes"),
    Control("fine-tuned", TUNED, only=("cnn",), pretrained=True),
    Control("frozen but for the head", TUNED | {"model.mode": "feature_extraction"}, only=("cnn",), pretrained=True),
    Control("features", twist="features", only=("mlp",)),
    Control("shifted and rotated", {"augment": [{"op": "affine"}], "epochs": 40}),
    Control("mixup", {"augment": [{"op": "mixup"}]}),
    Control("moving average", {"ema": {"decay": 0.95}}),
    Control("tanh", {"model.activation": "tanh", "model.init": "xavier"}),
)

DEVELOPMENT: dict[str, Patch] = {
    "mlp, batch norm": {"model": {"family": "mlp", "hidden": [64, 32]}},
    "mlp, plain": {"model": {"family": "mlp", "hidden": [64, 64], "batch_norm": False}},
    "cnn": {"model": {"family": "cnn", "channels": [8, 16], "hidden": [32]}},
}
HELD_OUT: dict[str, Patch] = {
    "mlp, three layers": {"model": {"family": "mlp", "hidden": [96, 64, 48], "init": "default"}},
    "mlp, wide and plain": {"model": {"family": "mlp", "hidden": [128], "batch_norm": False, "dropout": 0.1}},
    "cnn, plain": {
        "model": {"family": "cnn", "channels": [8, 12], "kernel_size": 5, "hidden": [48], "batch_norm": False}
    },
}
DATASETS: tuple[str, ...] = ("digits", "fashion")
SEEDS: dict[str, tuple[int, ...]] = {"development": (0, 1, 2, 3, 4), "held-out": (100, 101, 102, 103, 104)}


def models(part: str) -> dict[str, Patch]:
    """The models of a part."""
    return DEVELOPMENT if part == "development" else HELD_OUT


def fault_setup(fault: Fault, model: Patch, dataset: str, seed: int) -> Setup:
    """A run with the mistake."""
    return Setup(dataset, seed, dict(model) | dict(fault.patch), fault.twist, fault.injection, fault.train, fault.val)


def control_setup(control: Control, model: Patch, dataset: str, seed: int) -> Setup:
    """A healthy run."""
    return Setup(
        dataset,
        seed,
        dict(model) | dict(control.patch),
        control.twist,
        None,
        control.train,
        pretrained=control.pretrained,
    )


def applies(only: tuple[str, ...], model: Patch) -> bool:
    """Whether a model belongs to one of the families."""
    return not only or model["model"]["family"] in only
