"""Folders of pictures: packed at the size that suits them, with what was done to them, or named with the reason."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from service.errors import ImportRefusedError
from service.specs.dataset import ImportOptions
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import import_path, two_classes, write_folder
from worker.engine.data.batches import Batches
from worker.engine.runtime.torchvision_shim import torchvision
from worker.importing.images.pictures import choose_shape
from worker.importing.images.pool import Decoded


def test_validation_sees_imported_photographs_as_torchvision_would_show_them(tmp_path: Path) -> None:
    """From the files to the batches of every split: Resize, CenterCrop and ImageNet's Normalize, within 2 %."""
    photos = [Image.fromarray(array) for array in load_sample_images().images]
    cuts = {
        f"{name}/{left:03d}.jpg": photo.crop((left, left // 2, left + 500, left // 2 + 370))
        for name, photo in zip(("china", "flower"), photos, strict=True)
        for left in range(0, 140, 14)
    }
    files = {name: encoded(photo, "JPEG", quality=92) for name, photo in cuts.items()}
    imported = import_path(write_folder(tmp_path / "photographs", files), image_size=224)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    resize, crop = torchvision.transforms.Resize(224), torchvision.transforms.CenterCrop(224)
    tensor = torchvision.transforms.ToTensor()
    shown = [normalise(tensor(crop(resize(Image.open(io.BytesIO(files[name])))))) for name in sorted(files)]
    for split in ("train", "val", "test"):
        batches = Batches(imported.dataset, split, 64, torch.device("cpu"), normalize="imagenet")
        [batch] = batches.epoch(1)
        for index, image_CHW in zip(batches.indices_N, batch.inputs, strict=True):
            assert (image_CHW - shown[index]).abs().mean() < 0.02 * shown[index].abs().mean()


def test_small_pictures_of_one_size_keep_it_and_others_become_squares() -> None:
    def facts(width: int, height: int, mode: str = "RGB") -> Decoded:
        return Decoded(size=(width, height), mode=mode, format="PNG", frames=1, turned=False)

    assert choose_shape([facts(28, 20, "L")] * 2, None) == (20, 28, 1)
    assert choose_shape([facts(28, 20, "L"), facts(28, 20, "RGB")], None) == (20, 28, 3)
    assert choose_shape([facts(28, 28), facts(40, 90)], None) == (40, 40, 3)
    assert choose_shape([facts(1000, 800)] * 2, None) == (256, 256, 3)
    assert choose_shape([facts(28, 28)], 16) == (16, 16, 3)
    assert choose_shape([facts(1000, 1, "L")] * 2, None) == (1, 1000, 1)
    assert choose_shape([facts(512, 16)] * 2, None) == (16, 512, 3)
    assert choose_shape([facts(1000, 500)] * 2, None) == (256, 256, 3)
    assert choose_shape([facts(1, 1)] * 2, None) == (1, 1, 3)
    assert ImportOptions().image_size is None
    for sizes, side in ((((1000, 1), (900, 1)), None), (((1000, 1),), 64), (((2, 70000),), None)):
        with pytest.raises(ImportRefusedError, match="next to nothing") as caught:
            choose_shape([facts(*size) for size in sizes], side)
        assert caught.value.reason == "pictures-too-thin"


def test_a_dataset_with_corrupt_files_is_refused_until_that_is_accepted(tmp_path: Path) -> None:
    files = two_classes() | {"cats/broken.png": b"\x89PNG", "dogs/empty.jpg": b""}
    tree = write_folder(tmp_path / "tree", files | {"dogs/heic.heic": b"ftyp"})
    with pytest.raises(ImportRefusedError, match=r"3 of 15 samples cannot be read.*cats/broken\.png") as caught:
        import_path(tree)
    assert caught.value.reason == "corrupt-files"
    imported = import_path(tree, drop_corrupt=True)
    assert len(imported.dataset.y) == imported.dataset.x.shape[0] == 12
    assert sorted(imported.reasons()) == ["cats/broken.png", "dogs/empty.jpg", "dogs/heic.heic"]
    assert imported.finding("corrupt_files") is not None
    clean = import_path(write_folder(tmp_path / "clean", two_classes()))
    assert clean.hash == imported.hash


def test_what_was_done_to_single_pictures_is_told(tmp_path: Path) -> None:
    files = two_classes() | {"cats/clear.png": encoded(picture(50, mode="RGBA")),
                             "cats/misnamed.jpg": encoded(picture(51)),
                             "dogs/noextension": encoded(picture(52))}  # fmt: skip
    imported = import_path(write_folder(tmp_path / "tree", files))
    assert len(imported.dataset.y) == 15
    for name, example in (("transparent", "cats/clear.png"), ("misnamed", "cats/misnamed.jpg")):
        finding = imported.finding(name)
        assert finding is not None
        assert finding.evidence["examples"] == [example]
    assert imported.profile.modes == {"RGB": 14, "RGBA": 1}
