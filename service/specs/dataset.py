"""Where a dataset comes from, and how it is split; the `import` job carries it out."""

from typing import Annotated, Literal

from pydantic import Field

from service.specs.part import Part
from service.specs.training import JobCommon

Share = Annotated[float, Field(ge=0, lt=1)]
DATASET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class SplitSpec(Part):
    """Shares held out of data that brings no split of its own; drawn stratified, near duplicates kept together."""

    val: Share = 0.1
    test: Share = 0.1
    seed: int = Field(default=42, ge=0, lt=2**31)


class ImportOptions(Part):
    """How raw data becomes a dataset."""

    split: SplitSpec = SplitSpec()
    image_size: int | None = Field(default=None, ge=8, le=1024)
    """Shorter side that images are packed at; null: 256 for large or mixed images, their own size for small ones."""
    drop_corrupt: bool = False
    """Accept that unreadable files are left out; without it a dataset with any fails and names them."""
    drop_duplicates: bool = False
    """Keep one of each group of exact duplicates."""
    label_column: str | None = None
    """Name of the label's column in a CSV; null: `label`, `target`, `class` or `y`."""


class BuiltinSource(Part):
    """Data that ships with the service: `digits` (scikit-learn's 1,797 8x8 grey images)."""

    kind: Literal["builtin"]
    name: Literal["digits"] = "digits"
    options: ImportOptions = ImportOptions()


class TorchvisionSource(Part):
    """A torchvision dataset by its name (`FashionMNIST`, `MNIST`, `CIFAR10`, ...), from files under a data root."""

    kind: Literal["torchvision"]
    name: str = "FashionMNIST"
    path: str | None = None
    """Folder of the files; null: searched for under the data roots."""
    download: bool = False
    """Fetch the files when they are not under a data root."""
    options: ImportOptions = ImportOptions()


class PathSource(Part):
    """A folder, an archive, an npz or a CSV under one of the operator's data roots."""

    kind: Literal["path"]
    path: str
    options: ImportOptions = ImportOptions()


class UploadSource(Part):
    """A file that was uploaded; the service makes this one, with the upload's own artifact key."""

    kind: Literal["upload"]
    filename: str
    artifact: str
    options: ImportOptions = ImportOptions()


DatasetSource = Annotated[BuiltinSource | TorchvisionSource | PathSource | UploadSource, Field(discriminator="kind")]
PublicSource = Annotated[BuiltinSource | TorchvisionSource | PathSource, Field(discriminator="kind")]


class DatasetRequest(Part):
    """The JSON body of `POST /v1/datasets`."""

    name: str = Field(pattern=DATASET_NAME)
    source: PublicSource


class ImportSpec(JobCommon):
    """The job behind `POST /v1/datasets`; clients do not submit it themselves."""

    kind: Literal["import"]
    dataset: str
    """Id of the dataset row that the import fills."""
    source: DatasetSource
