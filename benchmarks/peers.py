"""The same work done by PyTorch Lightning and by fastai, as their users write it: a dataset of PIL images with
torchvision transforms, a DataLoader, a Trainer or a Learner. Same network, data, augmentation, batch and optimizer.
"""

import logging
import warnings

import numpy as np
import torch
from PIL import Image
from torch import nn

from worker.engine.runtime import torchvision_shim  # the import that makes torchvision load on every build of torch

_ = torchvision_shim

from torchvision import transforms  # noqa: E402

Arrays = tuple[np.ndarray, np.ndarray]


class Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """uint8 grey images (N, H, W) and labels, decoded and transformed one by one as torchvision datasets are."""

    def __init__(self, images_NHW: np.ndarray, labels_N: np.ndarray, augment: bool) -> None:
        size = images_NHW.shape[1]
        random = [
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(0.1),
            transforms.RandomRotation(15),
            transforms.RandomResizedCrop(size, scale=(0.8, 1.0), ratio=(0.9, 1.1)),
            transforms.RandomAffine(10, translate=(0.1, 0.1), shear=5),
            transforms.ColorJitter(0.2, 0.2, 0.2, 0.05),
            transforms.RandomGrayscale(0.1),
        ]
        after = [transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))]
        erase = [transforms.RandomErasing(0.1)] if augment else []
        self.transform = transforms.Compose([*(random if augment else []), *after, *erase])
        self.images_NHW, self.labels_N = images_NHW, labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images_NHW[index])), int(self.labels_N[index])


def loader(data: Arrays, batch_size: int, augment: bool, workers: int) -> torch.utils.data.DataLoader:  # type: ignore[type-arg]
    """The usual DataLoader."""
    return torch.utils.data.DataLoader(
        Pictures(*data, augment=augment),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
    )


def lightning_epochs(
    model: nn.Module, data: Arrays, *, batch_size: int, epochs: int, augment: bool, workers: int
) -> None:
    """Trains with `lightning.Trainer`, with everything switched off that is not training."""
    import lightning

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
            images_BCHW, labels_B = batch
            return nn.functional.cross_entropy(self.net(images_BCHW), labels_B)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
        )
        trainer.fit(Module(), loader(data, batch_size, augment, workers))


def fastai_epochs(model: nn.Module, data: Arrays, *, batch_size: int, epochs: int, augment: bool, workers: int) -> None:
    """Trains with `fastai.learner.Learner`."""
    import fastai.callback.progress  # noqa: F401  (brings `Learner.no_bar`)
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import Adam

    class Clip(Callback):  # type: ignore[misc]
        def before_step(self) -> None:
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = loader(data, batch_size, augment, workers)
        few = loader((data[0][:batch_size], data[1][:batch_size]), batch_size, False, 0)
        learner = Learner(
            DataLoaders(train, few), model, loss_func=nn.CrossEntropyLoss(), opt_func=Adam, lr=1e-3, cbs=[Clip()]
        )
        with learner.no_bar(), learner.no_logging():
            learner.fit(epochs)
