"""An example of each kind of job, for the docs page."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "train": {
        "summary": "Train a small network",
        "value": {
            "kind": "train",
            "name": "digits baseline",
            "labels": {"team": "vision"},
            "dataset": "digits",
            "model": {"family": "mlp", "hidden": [256, 128], "dropout": 0.2},
            "optimizer": {"name": "adamw", "lr": 1e-3},
            "schedule": {"name": "cosine", "warmup": 0.05},
            "epochs": 20,
            "batch_size": 64,
            "early_stopping": {"patience": 10, "min_delta": 0.001},
        },
    },
    "train-least": {
        "summary": "Train with every default",
        "value": {"kind": "train", "dataset": "digits"},
    },
    "train-transfer": {
        "summary": "Fine-tune a pretrained network",
        "value": {
            "kind": "train",
            "dataset": "flowers",
            "model": {
                "family": "torchvision",
                "arch": "resnet18",
                "weights": "IMAGENET1K_V1",
                "mode": "partial",
                "image_size": 224,
                "head_epochs": 2,
            },
            "preprocess": {"normalize": "imagenet"},
            "augment": "standard",
            "epochs": 15,
        },
    },
    "lr-find": {
        "summary": "Find the learning rate",
        "value": {"kind": "lr-find", "dataset": "digits", "model": {"family": "cnn"}, "optimizer": {"name": "adamw"}},
    },
    "sanity": {
        "summary": "Can the model overfit one batch?",
        "value": {"kind": "sanity", "dataset": "digits", "model": {"family": "mlp", "hidden": [256, 128]}},
    },
    "batch-size": {
        "summary": "Find the batch size",
        "value": {"kind": "batch-size", "dataset": "digits", "model": {"family": "cnn"}, "candidates": [256, 128, 64]},
    },
    "tune": {
        "summary": "Search hyperparameters",
        "value": {
            "kind": "tune",
            "train": {"dataset": "digits", "epochs": 5},
            "search_space": {
                "optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
                "model.hidden": {"type": "layers", "depth": [1, 4], "width": [64, 512], "step": 64},
                "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
            },
            "n_trials": 20,
        },
    },
}
DATASET_EXAMPLES: dict[str, dict[str, Any]] = {
    "digits": {
        "summary": "The data that ships with the service",
        "value": {"name": "digits", "source": {"kind": "builtin", "name": "digits"}},
    },
    "torchvision": {
        "summary": "A torchvision data set whose files lie under a data root",
        "value": {"name": "fashion", "source": {"kind": "torchvision", "name": "FashionMNIST"}},
    },
    "path": {
        "summary": "A folder, archive, npz or CSV under a data root",
        "value": {
            "name": "flowers",
            "source": {"kind": "path", "path": "/data/flowers.zip", "options": {"drop_corrupt": True}},
        },
    },
}
