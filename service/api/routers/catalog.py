"""What can be used: architectures, datasets that are known by name, augmentations."""

from dataclasses import asdict

from fastapi import APIRouter

from service.api.auth import MAY_READ
from service.api.http.strict_route import StrictRoute
from service.catalog import architectures, datasets, pretraining
from service.reports.catalog import (
    ArchitectureReport,
    ArchitecturesReport,
    AugmentationReport,
    KnownDatasetReport,
    ModeAdviceReport,
)
from service.reports.part import Page
from service.resolution.presets import PRESETS

router = APIRouter(tags=["catalog"], dependencies=MAY_READ, route_class=StrictRoute)


@router.get("/architectures")
def list_architectures() -> ArchitecturesReport:
    """Every classification architecture of torchvision with its facts, and how to choose the transfer mode."""
    data = [
        ArchitectureReport(
            name=architecture.name,
            parameters=architecture.parameters,
            top1=architecture.top1,
            usage=architectures.usage(architecture.name),
            features=architecture.features,
            min_size=architecture.min_size,
            size=architecture.size,
            gmacs=architecture.gmacs,
            weights=architecture.weights,
        )
        for architecture in architectures.ARCHITECTURES
    ]
    return ArchitecturesReport(
        data=data, modes=[ModeAdviceReport(**asdict(advice)) for advice in pretraining.MODE_ADVICE]
    )


@router.get("/known-datasets")
def list_known_datasets() -> Page[KnownDatasetReport]:
    """Datasets that can be imported by name."""
    return Page(data=[KnownDatasetReport.model_validate(asdict(dataset)) for dataset in datasets.DATASETS])


@router.get("/augmentations")
def list_augmentations() -> Page[AugmentationReport]:
    """The presets of `augment`, with the operations behind each; pictures under 32 pixels get smaller ones."""
    return Page(
        data=[
            AugmentationReport(name=name, operations=[op.model_dump(mode="json") for op in ops])
            for name, ops in PRESETS.items()
        ]
    )
