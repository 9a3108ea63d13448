"""Advice on a spec that is valid but unusual: values outside of their usual ranges, and common errors."""

from collections.abc import Callable, Iterable, Iterator

from service.catalog import architectures, pretraining
from service.catalog.hyperparameters import (
    BATCH_SIZE,
    DROPOUT_RANGE,
    LARGE_BATCH,
    LARGEST_BATCH_SHARE,
    LONG_TRAINING,
    OPTIMIZERS,
    SMALL_BATCH,
)
from service.reports.dataset import DatasetMeta
from service.reports.finding import Finding
from service.reports.resolution import Advice
from service.resolution.defaults import usual_lr_range
from service.resolution.presets import LEAST_CROP, kept_side, operations
from service.specs.augmentation import Crop, Erasing, ResizedCrop
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from service.specs.part import FromJob
from service.specs.train import TrainFields
from service.specs.training import AugmentedPart, TrainingPart

SATURATING: tuple[str, ...] = ("sigmoid", "tanh")


def advise(part: TrainingPart, prefix: str, data: DatasetMeta | None, *, gpu: bool = False) -> list[Advice]:
    """Every warning about a resolved training part that lies at `prefix` of its spec."""
    warnings = [advice for rule in RULES for advice in rule(part, data)]
    if gpu and part.device == "cpu":
        warnings.append(
            Advice(code="gpu-unused", pointer="/device", detail="a worker has a GPU and this job asks for the CPU")
        )
    if part.device == "cuda" and not gpu:
        detail = "no worker with a GPU is running: the job waits for one; `auto` takes the CPU meanwhile"
        warnings.append(Advice(code="no-gpu", pointer="/device", detail=detail))
    if part.precision in ("fp16", "bf16") and (part.device == "cpu" or not gpu):
        where = "this job asks for the CPU" if part.device == "cpu" else "no worker has a GPU now"
        detail = f"{where}: a CPU computes in fp32 whatever is asked, {part.precision} is for a GPU"
        warnings.append(Advice(code="precision-on-cpu", pointer="/precision", detail=detail))
    return [advice.model_copy(update={"pointer": prefix + advice.pointer}) for advice in warnings]


def advise_on_data(findings: Iterable[Finding], part: TrainingPart | None = None, prefix: str = "") -> list[Advice]:
    """What the profile of a dataset says and nobody should start to train without having heard.

    What the training part mends by itself is left out.
    """
    mended = {"not_normalised"} if part and part.preprocess.normalize != "none" else set()
    return [
        Advice(code=f"data-{finding.name.replace('_', '-')}", pointer=f"{prefix}/dataset", detail=finding.explanation)
        for finding in findings
        if finding.severity != "info" and finding.name not in mended
    ]


def _learning_rate(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    low, high = usual_lr_range(part.optimizer, part.model)
    lr = part.optimizer.lr
    if isinstance(lr, float) and not low <= lr <= high:
        word = "high: the loss may jump or become NaN" if lr > high else "low: the loss may hardly move"
        yield Advice(
            code="lr-unusual",
            pointer="/optimizer/lr",
            detail=f"{lr:g} is {word}. Usual for {part.optimizer.name} here: {low:g} to {high:g}; an lr-find job tells",
        )


def _weight_decay(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    low, high = OPTIMIZERS[part.optimizer.name].weight_decay_range
    decay = part.optimizer.weight_decay
    if decay and not low <= decay <= high:
        yield Advice(
            code="weight-decay-unusual",
            pointer="/optimizer/weight_decay",
            detail=f"{decay:g} is outside of what is usual for {part.optimizer.name}: {low:g} to {high:g}",
        )
    if decay == 0 and isinstance(part, TrainFields):
        yield Advice(
            code="no-weight-decay",
            pointer="/optimizer/weight_decay",
            detail=f"nothing keeps the weights small, which favours overfitting; {low:g} to {high:g} is usual",
        )


def _shuffle(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if isinstance(part, AugmentedPart) and not part.shuffle:
        yield Advice(
            code="no-shuffle",
            pointer="/shuffle",
            detail="without a new order each epoch, batches are alike and the training is biased by the data's order",
        )


def _normalisation(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if part.preprocess.normalize == "none":
        yield Advice(
            code="not-normalised",
            pointer="/preprocess/normalize",
            detail="inputs that are not centred and scaled train slowly or not at all; `dataset` is the default",
        )


def _pretrained_normalisation(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if _is_pretrained_elsewhere(part.model) and part.preprocess.normalize == "dataset":
        yield Advice(
            code="normalisation-differs",
            pointer="/preprocess/normalize",
            detail="pretrained weights mostly saw images with ImageNet's mean and deviation: `imagenet` fits them",
        )


def _is_pretrained_elsewhere(model: ModelSpec | None) -> bool:
    """Whether it starts from weights that are not a job's: that may well have seen images like these."""
    return isinstance(model, TorchvisionSpec) and not isinstance(model.weights, FromJob | None)


def _reproducibility(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if not part.deterministic:
        yield Advice(
            code="not-deterministic",
            pointer="/deterministic",
            detail="two runs of this spec with the same seed may differ slightly",
        )


def _dropout(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    low, high = DROPOUT_RANGE
    if part.model is None:
        return
    rates = part.model.dropout if isinstance(part.model.dropout, list) else [part.model.dropout]
    if max(rates, default=0) > high:
        yield Advice(
            code="dropout-high",
            pointer="/model/dropout",
            detail=f"{max(rates):g} of the units dropped; {low:g} to {high:g} is usual",
        )


def _vanishing(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if not isinstance(part.model, MlpSpec | CnnSpec) or part.model.activation not in SATURATING:
        return
    if part.model.init == "he":
        yield Advice(
            code="init-activation",
            pointer="/model/init",
            detail=f"`he` is made for the ReLU family; `xavier` fits {part.model.activation}",
        )
    if len(part.model.hidden) > 4 and not part.model.batch_norm:
        yield Advice(
            code="may-vanish",
            pointer="/model/activation",
            detail=f"{len(part.model.hidden)} layers of {part.model.activation}, no batch norm: gradients may vanish",
        )


def _batch(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    size = getattr(part, "batch_size", None)
    if not isinstance(size, int) or not isinstance(part, AugmentedPart):
        return
    samples = data.counts.get("train", 0) if data else None
    if samples and size > max(BATCH_SIZE, LARGEST_BATCH_SHARE * samples):
        yield Advice(
            code="batch-large",
            pointer="/batch_size",
            detail=f"{size} of {samples} training samples a step leave few steps an epoch; {BATCH_SIZE // 2} or "
            f"{BATCH_SIZE} is a good start",
        )
    elif size >= LARGE_BATCH:
        yield Advice(
            code="batch-large",
            pointer="/batch_size",
            detail=f"large batches tend to generalise worse and want a higher learning rate; {BATCH_SIZE // 2} or "
            f"{BATCH_SIZE} is a good start, and a batch-size job measures what {size} gains",
        )
    if size * getattr(part, "accumulate", 1) < SMALL_BATCH and (samples is None or samples > SMALL_BATCH * SMALL_BATCH):
        yield Advice(
            code="batch-small",
            pointer="/batch_size",
            detail=f"gradients of {size} samples are noisy, epochs slow; {BATCH_SIZE // 2} or {BATCH_SIZE} is good "
            "(or `accumulate` where memory is short)",
        )
    if size < 4 and getattr(part.model, "batch_norm", True):
        yield Advice(
            code="batch-tiny",
            pointer="/batch_size",
            detail=f"batch norm estimates badly from {size} samples; use 16 or more",
        )


def _length(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    if isinstance(part, TrainFields) and part.early_stopping is None and part.epochs >= LONG_TRAINING:
        yield Advice(
            code="long-without-early-stopping",
            pointer="/early_stopping",
            detail=f"{part.epochs} epochs with nothing to stop them are likely to overfit; the default stops after 10 "
            "epochs without progress and keeps the best weights",
        )


def _splits(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    if data is None or not isinstance(part, TrainFields) or data.counts.get("val", 0):
        return
    if part.early_stopping and part.early_stopping.metric.startswith("val/"):
        yield Advice(
            code="no-validation",
            pointer="/early_stopping",
            detail="the dataset has no validation split: nothing can stop the training early or show overfitting",
        )


def _augmentation(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    if data is None or not isinstance(part, AugmentedPart) or data.modality != "image":
        return
    names = {operation.op for operation in operations(part.augment)}
    if data.shape[2] == 1 and names & {"color_jitter", "grayscale"}:
        yield Advice(
            code="augment-grey",
            pointer="/augment",
            detail="the images are grey: changes of hue and saturation do nothing",
        )
    if (
        data.shape[2] == 1
        and all(name.isdigit() for name in data.classes)
        and names & {"horizontal_flip", "vertical_flip"}
    ):
        yield Advice(
            code="augment-flips-digits",
            pointer="/augment",
            detail="the classes look like digits, and a mirrored digit is another one or none",
        )


def _destructive(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    """Operations that can remove what tells classes apart, as far as sizes alone show it."""
    if data is None or not isinstance(part, AugmentedPart) or data.modality != "image":
        return
    side = min(data.shape[:2])
    for op in operations(part.augment, data.shape):
        match op:
            case Crop(padding=padding) if padding > side / 4:
                detail = f"shifts by up to {padding} of {side} pixels; {max(1, side // 8)} is usual"
            case ResizedCrop(scale=(least, _)) if least < 1 and kept_side(op, side) < LEAST_CROP:
                detail = f"crops leave {kept_side(op, side)} of {side} pixels; {LEAST_CROP} or more are usual"
            case Erasing(scale=(_, most)) if most > 0.5:
                detail = f"up to {most:.0%} of a picture is erased; a third or less is usual"
            case _:
                continue
        words = "this can remove what tells classes apart"
        yield Advice(code="augment-destructive", pointer="/augment", detail=f"{op.op}: {detail}; {words}")


def _small_input(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    model = part.model
    if data is None or data.modality != "image" or not isinstance(model, TorchvisionSpec):
        return
    known = architectures.architecture(model.arch)
    if known is None or not _is_pretrained_elsewhere(model):
        return
    side = min(known.input_size(model.image_size, *data.shape[:2]))
    if 2 * side < known.size:
        yield Advice(
            code="input-small",
            pointer="/model/image_size",
            detail=f"images of {side} pixels meet weights made for {known.size}; `image_size: {known.size}` fits them, "
            "and costs more time",
        )


def _transfer(part: TrainingPart, data: DatasetMeta | None) -> Iterator[Advice]:
    if data is None or not isinstance(part.model, TorchvisionSpec) or part.model.weights is None:
        return
    samples = data.counts.get("train", 0)
    advice = pretraining.recommended_mode(samples)
    order = [advised.mode for advised in pretraining.MODE_ADVICE]
    if order.index(part.model.mode) > order.index(advice.mode):
        yield Advice(
            code="transfer-mode",
            pointer="/model/mode",
            detail=f"for {samples} training samples `{advice.mode}` is usual: {advice.why}",
        )


def _frozen_cache(part: TrainingPart, _: DatasetMeta | None) -> Iterator[Advice]:
    model = part.model
    if not isinstance(part, TrainFields) or not isinstance(model, TorchvisionSpec):
        return
    is_cached = model.mode != "full" and model.cache_frozen
    if is_cached and model.views == 1 and operations(part.augment):
        yield Advice(
            code="cache-off",
            pointer="/model/views",
            detail="`views: 1` with augmentation turns the cache off: the frozen layers run in every epoch; 4 to 8 "
            "views are cached",
        )
    if model.head_epochs >= part.epochs:
        yield Advice(
            code="head-epochs",
            pointer="/model/head_epochs",
            detail=f"the head trains alone for {model.head_epochs} epochs, and the training has {part.epochs}: the "
            "chosen layers never join",
        )


RULES: tuple[Callable[[TrainingPart, DatasetMeta | None], Iterator[Advice]], ...] = (
    _learning_rate,
    _weight_decay,
    _shuffle,
    _normalisation,
    _pretrained_normalisation,
    _reproducibility,
    _dropout,
    _vanishing,
    _batch,
    _length,
    _splits,
    _augmentation,
    _destructive,
    _small_input,
    _transfer,
    _frozen_cache,
)
