"""Which network to train: `mlp`, `cnn`, or any classification architecture of torchvision."""

from typing import Annotated, Literal

from pydantic import Field

from service.specs.part import FilePath, FromJob, Name, Part, Reference

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
Initialisation = Literal["he", "xavier", "default"]
Rate = Annotated[float, Field(ge=0, lt=1)]
MAX_LAYERS, MAX_WIDTH = 64, 16384
Rates = Annotated[list[Rate], Field(max_length=MAX_LAYERS)]
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class MlpSpec(Part):
    """Multi-layer perceptron. Each hidden layer is Linear, BatchNorm, activation, Dropout; the output layer is bare."""

    family: Literal["mlp"] = "mlp"
    hidden: list[Width] = Field(default=[256, 128], max_length=MAX_LAYERS)
    """Units of each hidden layer; an empty list makes a linear model."""
    dropout: Rate | Rates = 0.0
    """Share of units dropped after each hidden layer: one rate, or one per layer (0.2-0.5 is usual)."""
    batch_norm: bool = True
    """BatchNorm between each Linear and its activation."""
    activation: Activation = "relu"
    init: Initialisation = "he"
    """Initial weights: `he` for the ReLU family, `xavier` for tanh and sigmoid, `default` for PyTorch's own."""


class CnnSpec(Part):
    """Small convolutional network: per stage Conv 3x3, BatchNorm, activation, max pooling by 2; then a hidden head."""

    family: Literal["cnn"] = "cnn"
    channels: list[Width] = Field(default=[32, 64], min_length=1, max_length=8)
    """Output channels of each stage; each stage halves height and width while they are above 1 pixel."""
    convs_per_stage: int = Field(default=1, ge=1, le=4)
    """Convolutions before each pooling."""
    kernel_size: Literal[3, 5, 7] = 3
    hidden: list[Width] = Field(default=[128], max_length=8)
    """Units of the fully connected layers between the features and the output."""
    dropout: Rate | Rates = 0.25
    """Share of units dropped after each hidden layer of the head: one rate, or one per layer."""
    batch_norm: bool = True
    activation: Activation = "relu"
    init: Initialisation = "he"


class WeightsFile(Part):
    """Weights from a file under an allowed data root: safetensors, or a weights-only state dict."""

    path: FilePath
    """Path of the file on the worker; it must lie under one of the operator's data roots."""


class WeightsUpload(Part):
    """Weights that were uploaded with `POST /v1/weights`."""

    upload: Reference
    """Name of the weights, or their id."""


class TorchvisionSpec(Part):
    """A classification architecture of torchvision with a new head: Dropout, then Linear(features, classes)."""

    family: Literal["torchvision"]
    arch: Name = "resnet18"
    """Name of the architecture, as in `GET /v1/architectures`."""
    weights: Name | WeightsUpload | WeightsFile | FromJob | None = None
    """Start weights: null (random), an official name such as `IMAGENET1K_V1`, an upload, a file, or a job's model."""
    mode: Literal["feature_extraction", "partial", "full"] = "full"
    """What trains: the new head alone, the last stage and the head, or everything. Needs `weights` unless `full`."""
    dropout: Rate = 0.3
    """Share of features dropped before the new head."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Height and width that images are resized to; null: their own size, or the least the architecture accepts."""
    head_epochs: int = Field(default=0, ge=0, le=100)
    """LP-FT (arXiv 2202.10054): epochs that train the head alone before the chosen layers join; 1-3 is usual."""
    views: int = Field(default=1, ge=1, le=16)
    """Augmented views of each image that are cached when a frozen prefix runs once (4-8 pays with augmentation)."""
    cache_frozen: bool = True
    """Run the frozen prefix once per image and train on its cached activations."""


ModelSpec = Annotated[MlpSpec | CnnSpec | TorchvisionSpec, Field(discriminator="family")]
