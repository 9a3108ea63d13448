"""What can be used (architectures, datasets, augmentations), who works, and who waits and why."""

from dataclasses import asdict

from fastapi import APIRouter

from service.api.auth import MAY_READ
from service.catalog import architectures, datasets, pretraining
from service.reports.operations import (
    ArchitectureReport,
    ArchitecturesReport,
    AugmentationReport,
    KnownDatasetReport,
    ModeAdviceReport,
)
from service.reports.page import Page
from service.specs.augmentation import PRESETS

router = APIRouter(tags=["catalog"], dependencies=MAY_READ)


@router.get("/architectures")
def list_architectures() -> ArchitecturesReport:
    """Every classification architecture of torchvision with its facts, and how to choose the transfer mode."""
    data = [
        ArchitectureReport(
            name=each.name,
            parameters=each.parameters,
            top1=each.top1,
            usage=architectures.usage(each.name),
            features=each.features,
            min_size=each.min_size,
            size=each.size,
            gmacs=each.gmacs,
            weights=each.weights,
        )
        for each in architectures.ARCHITECTURES
    ]
    return ArchitecturesReport(data=data, modes=[ModeAdviceReport(**asdict(each)) for each in pretraining.MODE_ADVICE])


@router.get("/known-datasets")
def list_known_datasets() -> Page[KnownDatasetReport]:
    """Datasets that can be imported by name."""
    return Page(data=[KnownDatasetReport.model_validate(asdict(each)) for each in datasets.DATASETS])


@router.get("/augmentations")
def list_augmentations() -> Page[AugmentationReport]:
    """The presets of `augment`, with the operations behind each."""
    return Page(
        data=[
            AugmentationReport(name=name, operations=[op.model_dump(mode="json") for op in ops])
            for name, ops in PRESETS.items()
        ]
    )
