"""Every classification architecture of torchvision with its facts, the six that are used most first.

Counted on torchvision 0.28 with its 1,000-class head; accuracies are ImageNet top-1 in percent, as published with the
weights.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is known of one architecture without building it."""

    name: str
    parameters: int
    backbone_parameters: int
    """Without the 1,000-class output layer."""
    features: int
    """Inputs of the output layer."""
    min_size: int
    """Least height and width in pixels that it accepts."""
    size: int
    """Height and width that its weights were trained for."""
    gmacs: float
    """Multiply-accumulates of one image at `size`, in 10^9."""
    activations_m: float
    """Values that one image leaves in all layers at `size`, in 10^6."""
    top1: float
    weights: dict[str, float]
    """Official weights -> top-1."""

    @property
    def is_transformer(self) -> bool:
        """Whether attention does the work, so that learning rates want to be lower."""
        return self.name.startswith(("vit", "swin", "maxvit"))

    def input_size(self, image_size: int | None, height: int, width: int) -> tuple[int, int]:
        """Height and width of the images that enter the layers: as asked for, else their own, enlarged where too small.

        The layers of some are made for one size.
        """
        if image_size is None and self.name.startswith(("vit", "maxvit")):
            image_size = self.min_size
        if image_size is not None:
            return image_size, image_size
        scale = max(1.0, self.min_size / min(height, width))
        return round(height * scale), round(width * scale)


_WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_V2", "IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1")


def _row(
    name: str,
    parameters: int,
    backbone: int,
    features: int,
    min_size: int,
    size: int,
    gmacs: float,
    activations_m: float,
    top1: float,
    *accuracies: float | None,
) -> Architecture:
    """One line of the table; `accuracies` in the order of `_WEIGHTS`."""
    weights = {weight: value for weight, value in zip(_WEIGHTS, accuracies, strict=False) if value is not None}
    return Architecture(name, parameters, backbone, features, min_size, size, gmacs, activations_m, top1, weights)


# fmt: off
ARCHITECTURES: tuple[Architecture, ...] = (
    # name, parameters, backbone, features, min size, size, GMACs, activations (M), top-1, V1, V2, SWAG E2E, SWAG linear
    _row("resnet18", 11_689_512, 11_176_512, 512, 1, 224, 1.814, 7.48, 69.8, 69.8),
    _row("resnet50", 25_557_032, 23_508_032, 2048, 1, 224, 4.089, 32.04, 76.1, 76.1, 80.9),
    _row("efficientnet_b0", 5_288_548, 4_007_548, 1280, 1, 224, 0.386, 19.87, 77.1, 77.7),
    _row("efficientnet_b4", 19_341_616, 17_548_616, 1792, 1, 380, 4.394, 146.92, 82.9, 83.4),
    _row("vit_b_16", 86_567_656, 85_798_656, 768, 224, 224, 17.564, 31.32, 81.8, 81.1, None, 85.3, 81.9),
    _row("convnext_base", 88_591_464, 87_566_464, 1024, 32, 224, 15.355, 67.19, 83.8, 84.1),
    _row("alexnet", 61_100_840, 57_003_840, 4096, 63, 224, 0.714, 1.1, 56.5, 56.5),
    _row("convnext_large", 197_767_336, 196_230_336, 1536, 32, 224, 34.361, 100.78, 84.4, 84.4),
    _row("convnext_small", 50_223_688, 49_454_688, 768, 32, 224, 8.684, 50.39, 83.6, 83.6),
    _row("convnext_tiny", 28_589_128, 27_820_128, 768, 32, 224, 4.456, 31.43, 82.5, 82.5),
    _row("densenet121", 7_978_856, 6_953_856, 1024, 29, 224, 2.834, 38.56, 74.4, 74.4),
    _row("densenet161", 28_681_000, 26_472_000, 2208, 29, 224, 7.728, 70.36, 77.1, 77.1),
    _row("densenet169", 14_149_480, 12_484_480, 1664, 29, 224, 3.36, 45.65, 75.6, 75.6),
    _row("densenet201", 20_013_928, 18_092_928, 1920, 29, 224, 4.291, 57.57, 76.9, 76.9),
    _row("efficientnet_b1", 7_794_184, 6_513_184, 1280, 1, 240, 0.687, 32.22, 78.6, 78.6, 79.8),
    _row("efficientnet_b2", 9_109_994, 7_700_994, 1408, 1, 288, 1.088, 47.98, 80.6, 80.6),
    _row("efficientnet_b3", 12_233_232, 10_696_232, 1536, 1, 300, 1.827, 70.56, 82.0, 82.0),
    _row("efficientnet_b5", 30_389_784, 28_340_784, 2048, 1, 456, 10.266, 294.16, 83.4, 83.4),
    _row("efficientnet_b6", 43_040_704, 40_735_704, 2304, 1, 528, 19.068, 498.3, 84.0, 84.0),
    _row("efficientnet_b7", 66_347_960, 63_786_960, 2560, 1, 600, 37.746, 864.48, 84.1, 84.1),
    _row("efficientnet_v2_l", 118_515_272, 117_234_272, 1280, 33, 480, 56.08, 479.46, 85.8, 85.8),
    _row("efficientnet_v2_m", 54_139_356, 52_858_356, 1280, 33, 480, 24.582, 272.2, 85.1, 85.1),
    _row("efficientnet_v2_s", 21_458_488, 20_177_488, 1280, 33, 384, 8.366, 108.28, 84.2, 84.2),
    _row("googlenet", 6_624_904, 5_599_904, 1024, 15, 224, 1.498, 7.87, 69.8, 69.8),
    _row("inception_v3", 27_161_264, 21_785_568, 2048, 75, 299, 5.713, 18.52, 77.3, 77.3),
    _row("maxvit_t", 30_919_624, 30_407_624, 512, 224, 224, 5.558, 84.7, 83.7, 83.7),
    _row("mnasnet0_5", 2_218_512, 937_512, 1280, 1, 224, 0.104, 8.82, 67.7, 67.7),
    _row("mnasnet0_75", 3_170_208, 1_889_208, 1280, 1, 224, 0.215, 13.69, 71.2, 71.2),
    _row("mnasnet1_0", 4_383_312, 3_102_312, 1280, 1, 224, 0.314, 15.71, 73.5, 73.5),
    _row("mnasnet1_3", 6_282_256, 5_001_256, 1280, 1, 224, 0.526, 21.15, 76.5, 76.5),
    _row("mobilenet_v2", 3_504_872, 2_223_872, 1280, 1, 224, 0.301, 19.46, 71.9, 71.9, 72.2),
    _row("mobilenet_v3_large", 5_483_032, 4_202_032, 1280, 1, 224, 0.217, 12.64, 74.0, 74.0, 75.3),
    _row("mobilenet_v3_small", 2_542_856, 1_517_856, 1024, 1, 224, 0.057, 4.11, 67.7, 67.7),
    _row("regnet_x_16gf", 54_278_536, 52_229_536, 2048, 1, 224, 15.941, 75.07, 80.1, 80.1, 82.7),
    _row("regnet_x_1_6gf", 9_190_136, 8_277_136, 912, 1, 224, 1.603, 23.32, 77.0, 77.0, 79.7),
    _row("regnet_x_32gf", 107_811_560, 105_290_560, 2520, 1, 224, 31.736, 106.94, 80.6, 80.6, 83.0),
    _row("regnet_x_3_2gf", 15_296_552, 14_287_552, 1008, 1, 224, 3.177, 33.52, 78.4, 78.4, 81.2),
    _row("regnet_x_400mf", 5_495_976, 5_094_976, 400, 1, 224, 0.414, 9.32, 72.8, 72.8, 74.9),
    _row("regnet_x_800mf", 7_259_656, 6_586_656, 672, 1, 224, 0.8, 15.05, 75.2, 75.2, 77.5),
    _row("regnet_x_8gf", 39_572_648, 37_651_648, 1920, 1, 224, 7.995, 41.5, 79.3, 79.3, 81.7),
    _row("regnet_y_128gf", 644_812_894, 637_419_894, 7392, 1, 384, 374.57, 620.54, 88.2, None, None, 88.2, 86.1),
    _row("regnet_y_16gf", 83_590_140, 80_565_140, 3024, 1, 224, 15.912, 67.68, 80.4, 80.4, 82.9, 86.0, 84.0),
    _row("regnet_y_1_6gf", 11_202_430, 10_313_430, 888, 1, 224, 1.612, 23.78, 78.0, 78.0, 80.9),
    _row("regnet_y_32gf", 145_046_770, 141_333_770, 3712, 1, 224, 32.28, 89.05, 80.9, 80.9, 83.4, 86.8, 84.6),
    _row("regnet_y_3_2gf", 19_436_338, 17_923_338, 1512, 1, 224, 3.176, 33.21, 78.9, 78.9, 82.0),
    _row("regnet_y_400mf", 4_344_144, 3_903_144, 440, 1, 224, 0.402, 11.38, 74.0, 74.0, 75.8),
    _row("regnet_y_800mf", 6_432_512, 5_647_512, 784, 1, 224, 0.834, 15.85, 76.4, 76.4, 78.8),
    _row("regnet_y_8gf", 39_381_472, 37_364_472, 2016, 1, 224, 8.473, 57.84, 80.0, 80.0, 82.8),
    _row("resnet101", 44_549_160, 42_500_160, 2048, 1, 224, 7.801, 47.39, 77.4, 77.4, 81.9),
    _row("resnet152", 60_192_808, 58_143_808, 2048, 1, 224, 11.514, 66.36, 78.3, 78.3, 82.3),
    _row("resnet34", 21_797_672, 21_284_672, 512, 1, 224, 3.664, 11.24, 73.3, 73.3),
    _row("resnext101_32x8d", 88_791_336, 86_742_336, 2048, 1, 224, 16.414, 92.33, 79.3, 79.3, 82.8),
    _row("resnext101_64x4d", 83_455_272, 81_406_272, 2048, 1, 224, 15.46, 92.33, 83.2, 83.2),
    _row("resnext50_32x4d", 25_028_904, 22_979_904, 2048, 1, 224, 4.23, 41.9, 77.6, 77.6, 81.2),
    _row("shufflenet_v2_x0_5", 1_366_792, 341_792, 1024, 1, 224, 0.04, 2.95, 60.6, 60.6),
    _row("shufflenet_v2_x1_0", 2_278_604, 1_253_604, 1024, 1, 224, 0.145, 5.46, 69.4, 69.4),
    _row("shufflenet_v2_x1_5", 3_503_624, 2_478_624, 1024, 1, 224, 0.296, 7.69, 73.0, 73.0),
    _row("shufflenet_v2_x2_0", 7_393_996, 5_344_996, 2048, 1, 224, 0.583, 10.36, 76.2, 76.2),
    _row("squeezenet1_0", 1_248_424, 735_424, 512, 21, 224, 0.819, 9.33, 58.1, 58.1),
    _row("squeezenet1_1", 1_235_496, 722_496, 512, 17, 224, 0.349, 5.6, 58.2, 58.2),
    _row("swin_b", 87_768_224, 86_743_224, 1024, 32, 224, 15.431, 58.36, 83.6, 83.6),
    _row("swin_s", 49_606_258, 48_837_258, 768, 32, 224, 8.741, 43.77, 83.2, 83.2),
    _row("swin_t", 28_288_354, 27_519_354, 768, 32, 224, 4.491, 27.51, 81.5, 81.5),
    _row("swin_v2_b", 87_930_848, 86_905_848, 1024, 32, 256, 20.325, 81.38, 84.1, 84.1),
    _row("swin_v2_s", 49_737_442, 48_968_442, 768, 32, 256, 11.546, 62.42, 83.7, 83.7),
    _row("swin_v2_t", 28_351_570, 27_582_570, 768, 32, 256, 5.94, 38.38, 82.1, 82.1),
    _row("vgg11", 132_863_336, 128_766_336, 4096, 32, 224, 7.609, 16.43, 69.0, 69.0),
    _row("vgg11_bn", 132_868_840, 128_771_840, 4096, 32, 224, 7.609, 23.86, 70.4, 70.4),
    _row("vgg13", 133_047_848, 128_950_848, 4096, 32, 224, 11.308, 26.07, 69.9, 69.9),
    _row("vgg13_bn", 133_053_736, 128_956_736, 4096, 32, 224, 11.308, 38.31, 71.6, 71.6),
    _row("vgg16", 138_357_544, 134_260_544, 4096, 32, 224, 15.47, 28.68, 71.6, 71.6),
    _row("vgg16_bn", 138_365_992, 134_268_992, 4096, 32, 224, 15.47, 42.22, 73.4, 73.4),
    _row("vgg19", 143_667_240, 139_570_240, 4096, 32, 224, 19.632, 31.29, 72.4, 72.4),
    _row("vgg19_bn", 143_678_248, 139_581_248, 4096, 32, 224, 19.632, 46.14, 74.2, 74.2),
    _row("vit_b_32", 88_224_232, 87_455_232, 768, 224, 224, 4.409, 7.95, 75.9, 75.9),
    _row("vit_h_14", 633_470_440, 632_189_440, 1280, 518, 518, 1016.717, 1032.0, 88.6, None, None, 88.6, 85.7),
    _row("vit_l_16", 304_326_632, 303_301_632, 1024, 224, 224, 61.555, 82.91, 79.7, 79.7, None, 88.1, 85.1),
    _row("vit_l_32", 306_535_400, 305_510_400, 1024, 224, 224, 15.378, 21.04, 77.0, 77.0),
    _row("wide_resnet101_2", 126_886_696, 124_837_696, 2048, 1, 224, 22.753, 62.37, 78.8, 78.8, 82.5),
    _row("wide_resnet50_2", 68_883_240, 66_834_240, 2048, 1, 224, 11.398, 41.9, 78.5, 78.5, 81.6),
)
# fmt: on

_BY_NAME: dict[str, Architecture] = {known.name: known for known in ARCHITECTURES}

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
    ("swin", "windowed transformer for large data"),
    ("vgg", "plain and heavy; history, style features"),
    ("vit", "large data sets or strong pretrained weights; learning rates near 1e-5"),
    ("wide_resnet", "wider ResNets: more memory, more accuracy"),
)


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
