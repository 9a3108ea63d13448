"""What can be used: architectures, datasets and augmentations, by name and with their facts; strings and numbers."""

import difflib
from dataclasses import dataclass

from service.architectures import ARCHITECTURES, Architecture

_BY_NAME: dict[str, Architecture] = {each.name: each for each in ARCHITECTURES}

# The first prefix that fits says what a family is for.
_USAGE: tuple[tuple[str, str], ...] = (
    ("resnet18", "a first baseline: small, fast, forgiving; good on a CPU"),
    ("resnet50", "the standard reference for fine-tuning"),
    ("efficientnet_b0", "best accuracy for its size; small devices"),
    ("efficientnet_b4", "high accuracy when inference may cost more"),
    ("vit_b_16", "large data sets or strong pretrained weights; learning rates near 1e-5"),
    ("convnext_base", "modern convolutional network, high accuracy on a GPU"),
    ("alexnet", "history and comparison"),
    ("convnext", "modern convolutional networks, high accuracy on a GPU"),
    ("densenet", "good accuracy from few parameters, much memory"),
    ("efficientnet_v2", "high accuracy and fast training at large image sizes"),
    ("efficientnet", "accuracy for size; larger images with each step up"),
    ("googlenet", "history and comparison"),
    ("inception", "history and comparison; images of 299 pixels"),
    ("maxvit", "attention and convolution mixed; fixed image size"),
    ("mnasnet", "phones and small devices"),
    ("mobilenet", "phones and small devices; fast on a CPU"),
    ("regnet", "a family from tiny to huge with even cost steps"),
    ("resnet", "the standard reference, deeper"),
    ("resnext", "grouped convolutions: more accurate than a ResNet of the same cost"),
    ("shufflenet", "the least computation; phones"),
    ("squeezenet", "the fewest parameters; good on a CPU"),
    ("swin", "windowed transformer for large data; fixed image size"),
    ("vgg", "plain and heavy; history, style features"),
    ("vit", "large data sets or strong pretrained weights; learning rates near 1e-5"),
    ("wide_resnet", "wider ResNets: more memory, more accuracy"),
)


@dataclass(frozen=True, slots=True)
class ModeAdvice:
    """Which transfer mode suits how many training samples."""

    min_samples: int
    max_samples: int | None
    mode: str
    why: str


MODE_ADVICE: tuple[ModeAdvice, ...] = (
    ModeAdvice(
        0, 1000, "feature_extraction", "few samples: train the new head alone, or the network learns them by heart"
    ),
    ModeAdvice(1000, 10_000, "partial", "enough for the last stage and the head; the early layers are general anyway"),
    ModeAdvice(10_000, None, "full", "enough to adapt every layer, with a small learning rate for the backbone"),
)


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset that can be imported by name."""

    name: str
    kind: str
    """`builtin` or `torchvision`."""
    classes: int
    samples: int
    size: str
    """Of one image, or `mixed`."""
    about: str
    variants: tuple[str, ...] = ()
    """Editions to choose from; the first is the default, and the one that is counted here."""


CELEBA_ATTRIBUTES = (
    "Smiling", "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip

DATASETS: tuple[KnownDataset, ...] = (
    KnownDataset("digits", "builtin", 10, 1797, "8x8", "handwritten digits; ships with the service"),
    KnownDataset("FashionMNIST", "torchvision", 10, 70_000, "28x28", "articles of clothing in grey"),
    KnownDataset("MNIST", "torchvision", 10, 70_000, "28x28", "handwritten digits"),
    KnownDataset("KMNIST", "torchvision", 10, 70_000, "28x28", "cursive Japanese characters"),
    KnownDataset(
        "EMNIST",
        "torchvision",
        47,
        131_600,
        "28x28",
        "handwritten letters and digits (balanced split)",
        ("balanced", "byclass", "bymerge", "letters", "digits", "mnist"),
    ),
    KnownDataset("QMNIST", "torchvision", 10, 120_000, "28x28", "MNIST with its full test set"),
    KnownDataset("USPS", "torchvision", 10, 9298, "16x16", "digits from envelopes"),
    KnownDataset("CIFAR10", "torchvision", 10, 60_000, "32x32", "small colour photographs"),
    KnownDataset("CIFAR100", "torchvision", 100, 60_000, "32x32", "small colour photographs, fine classes"),
    KnownDataset("SVHN", "torchvision", 10, 99_289, "32x32", "house numbers", ("standard", "extra")),
    KnownDataset("STL10", "torchvision", 10, 13_000, "96x96", "photographs, few per class"),
    KnownDataset("EuroSAT", "torchvision", 10, 27_000, "64x64", "land use from satellite"),
    KnownDataset("GTSRB", "torchvision", 43, 51_839, "mixed", "traffic signs"),
    KnownDataset("DTD", "torchvision", 47, 5640, "mixed", "textures", tuple(str(number) for number in range(1, 11))),
    KnownDataset("Flowers102", "torchvision", 102, 8189, "mixed", "flowers"),
    KnownDataset("Food101", "torchvision", 101, 101_000, "mixed", "dishes"),
    KnownDataset(
        "OxfordIIITPet", "torchvision", 37, 7349, "mixed", "breeds of cats and dogs", ("category", "binary-category")
    ),
    KnownDataset(
        "FGVCAircraft", "torchvision", 100, 10_000, "mixed", "aircraft variants", ("variant", "family", "manufacturer")
    ),
    KnownDataset("StanfordCars", "torchvision", 196, 16_185, "mixed", "car models"),
    KnownDataset("Caltech101", "torchvision", 101, 8677, "mixed", "objects"),
    KnownDataset("Caltech256", "torchvision", 257, 30_607, "mixed", "objects"),
    KnownDataset("Country211", "torchvision", 211, 63_300, "mixed", "where a photograph was taken"),
    KnownDataset(
        "Imagenette", "torchvision", 10, 13_394, "mixed", "ten easy classes of ImageNet", ("full", "320px", "160px")
    ),
    KnownDataset("ImageNet", "torchvision", 1000, 1_331_167, "mixed", "the benchmark the weights come from"),
    KnownDataset("PCAM", "torchvision", 2, 327_680, "96x96", "tumour tissue"),
    KnownDataset("RenderedSST2", "torchvision", 2, 9613, "448x448", "sentences as pictures"),
    KnownDataset("SEMEION", "torchvision", 10, 1593, "16x16", "handwritten digits"),
    KnownDataset("SUN397", "torchvision", 397, 108_754, "mixed", "scenes"),
    KnownDataset("FER2013", "torchvision", 7, 35_887, "48x48", "facial expressions"),
    KnownDataset("Places365", "torchvision", 365, 1_839_960, "mixed", "scenes", ("large", "small")),
    KnownDataset(
        "INaturalist",
        "torchvision",
        10_000,
        2_786_843,
        "mixed",
        "species",
        ("2021_train", "2021_train_mini", "2019", "2018", "2017"),
    ),
    KnownDataset(
        "LFWPeople", "torchvision", 5749, 13_233, "250x250", "faces by name", ("funneled", "original", "deepfunneled")
    ),
    KnownDataset(
        "Omniglot", "torchvision", 964, 19_280, "105x105", "characters of fifty alphabets", ("background", "evaluation")
    ),
    KnownDataset("CLEVRClassification", "torchvision", 8, 85_000, "480x320", "how many objects a scene has"),
    KnownDataset("CelebA", "torchvision", 2, 202_599, "178x218", "faces, by one attribute", CELEBA_ATTRIBUTES),
)
KNOWN: dict[str, KnownDataset] = {each.name: each for each in DATASETS if each.kind == "torchvision"}


def architecture(name: str) -> Architecture | None:
    """The facts of one architecture, or None for an unknown name."""
    return _BY_NAME.get(name)


def nearest_architecture(name: str) -> str | None:
    """The known name that reads most like this one."""
    near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.4)
    return near[0] if near else None


def usage(name: str) -> str:
    """What an architecture is good for, in a few words."""
    return next(words for prefix, words in _USAGE if name.startswith(prefix))


def recommended_mode(train_samples: int) -> ModeAdvice:
    """The transfer mode that suits so many training samples (the chapter's table)."""
    return next(a for a in MODE_ADVICE if a.max_samples is None or train_samples < a.max_samples)
