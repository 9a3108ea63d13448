"""The fields that `train`, `lr-find`, `sanity` and `batch-size` share: data, model, loss, optimizer, seed."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from service.specs.augmentation import AugmentSpec
from service.specs.model import ModelSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.part import Name, Part, Reference, at_most, or_null

Label = Annotated[str, Field(min_length=1, max_length=100)]


class JobMetadata(Part):
    """What describes a job to people and to the queue."""

    name: str | None = Field(default=None, max_length=200)
    """A name for people; it need not be unique."""
    labels: Annotated[dict[Label, Name], at_most(50)] = Field(default={}, max_length=50)
    """Free key-value pairs to filter the list of jobs by."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Jobs of a higher priority start first."""


class LimitsSpec(Part):
    """How long a job may run, and how long it may stand still."""

    seconds: float | None = Field(default=None, gt=0, le=366 * 86_400)
    """Running time over all attempts, after which the job is paused with a checkpoint; null: as long as it takes."""
    stall_seconds: float | None = Field(default=None, ge=1, le=7 * 86_400)
    """An attempt that has not advanced for so long is killed, and the next one goes on from the last checkpoint; null:
    60 s or 50 times the median step, whichever is longer, and 15 minutes for a job that loads or compiles.
    """
    trial_seconds: float | None = Field(default=None, gt=0, le=366 * 86_400)
    """Of a `tune`: a trial that takes longer is stopped and counts as pruned; the search goes on."""


class JobCommon(JobMetadata):
    """What every job has, whatever its kind."""

    limits: Annotated[LimitsSpec, or_null(LimitsSpec, LimitsSpec())] = LimitsSpec()
    requires: list[Reference] = Field(default=[], max_length=50)
    """Ids of jobs that must have succeeded (a `sanity` job: passed) before this one starts."""

    @model_validator(mode="after")
    def _only_a_search_has_trials(self) -> Self:
        if self.limits.trial_seconds is not None and getattr(self, "kind", None) not in ("tune", "tune-runner"):
            raise ValueError("limits.trial_seconds is for `tune` jobs; limits.seconds limits any job")
        return self


ClassWeights = Annotated[list[Annotated[float, Field(ge=0, le=1e9)]], Field(max_length=10_000)]


ONE_LOSS = (
    "the loss is cross entropy on logits, the one that fits an output of one number a class; mean squared error and "
    "others learn classes slowly or not at all. Nothing chooses it (rules D4 and C1 look at the outputs); leave it out"
)


class LossSpec(Part):
    """Cross entropy on logits (there is never a softmax before it)."""

    taught: ClassVar[dict[str, str]] = dict.fromkeys(("name", "type", "kind", "function"), ONE_LOSS)

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | ClassWeights | None = None
    """Weight of each class in the loss; `balanced` is the inverse of the class's share of the train split."""

    @model_validator(mode="before")
    @classmethod
    def _one_loss(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(ONE_LOSS)
        return value


class PreprocessSpec(Part):
    """What train, val and test images or features go through alike."""

    normalize: Literal["dataset", "imagenet", "none"] = "dataset"
    """Subtract a mean and divide by a standard deviation: the train split's own, ImageNet's, or neither."""


def _is_given(seed: Any) -> Any:
    if seed is None:
        raise ValueError("a run without a seed cannot be repeated or compared: give any number, or leave it out (42)")
    return seed


RAW = PreprocessSpec(normalize="none")


class TrainingPart(JobCommon):
    """Data, model, loss, optimizer and reproducibility."""

    dataset: Reference
    """Id or name of a dataset."""
    model: ModelSpec | None = None
    """The network; null: a `cnn` for pictures and an `mlp` for tables, chosen when the dataset is ready. A search whose
    paths name fields of one family has that family.
    """
    optimizer: OptimizerSpec = OptimizerSpec()
    loss: Annotated[LossSpec, or_null(LossSpec, LossSpec())] = LossSpec()
    preprocess: Annotated[PreprocessSpec, or_null(PreprocessSpec, RAW)] = PreprocessSpec()
    seed: Annotated[int, BeforeValidator(_is_given)] = Field(default=42, ge=0, lt=2**31)
    """Seeds Python, NumPy, torch, CUDA, the shuffle and the augmentation."""
    deterministic: bool = True
    """Bit-identical repeated runs on one machine (on a GPU 10-20 % slower)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` is bf16 on a CUDA device that has it, else fp32."""

    @property
    def network(self) -> ModelSpec:
        """The model of a spec that is resolved for its data."""
        if self.model is None:
            raise ValueError("the model is chosen once the dataset is known")
        return self.model


class AugmentedPart(TrainingPart):
    """A training part whose train split may be augmented, in batches."""

    augment: AugmentSpec | None = "none"
    """A preset, or a list of random operations applied to each training image."""
    shuffle: bool = True
    """Draw a new order of the train split each epoch; turning this off biases training."""
    clip_norm: float | None = Field(default=1.0, gt=0, le=1e9)
    """Largest total norm of the gradient; null turns clipping off."""
