"""Datasets that can be imported by name."""

from dataclasses import dataclass


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
BUILTINS: tuple[str, ...] = tuple(dataset.name for dataset in DATASETS if dataset.kind == "builtin")
"""They ship with the service: submitting a job that names one imports it."""
KNOWN: dict[str, KnownDataset] = {dataset.name: dataset for dataset in DATASETS if dataset.kind == "torchvision"}
