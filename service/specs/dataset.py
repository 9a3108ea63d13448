"""Where a dataset comes from, and how it is split; the `import` job carries it out."""

import difflib
import re
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from service.catalog import datasets
from service.specs.part import MAX_WORDS, FilePath, Name, Part
from service.specs.training import JobCommon

Share = Annotated[float, Field(ge=0, lt=1)]
MAX_FILENAME = 255
DATASET_NAME = r"^[^\W_][\w.-]{0,99}$"
"""Letters and digits of any script."""
LIKE_AN_ID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _is_no_id(name: str) -> str:
    """A dataset is asked for by its id or by its name: a name that reads like an id would hide another dataset.

    Returns the name in the one form that is stored (NFC), however a keyboard or a file system composes its letters.
    """
    if re.match(LIKE_AN_ID, name):
        raise ValueError("a name may not look like an id")
    return unicodedata.normalize("NFC", name)


DatasetName = Annotated[
    str, Field(pattern=DATASET_NAME, json_schema_extra={"not": {"pattern": LIKE_AN_ID}}), AfterValidator(_is_no_id)
]


class SplitSpec(Part):
    """Shares held out of data that brings no split of its own; drawn stratified, near duplicates kept together."""

    val: Share = 0.1
    test: Share = 0.1
    seed: int = Field(default=42, ge=0, lt=2**31)

    @field_validator("test")
    @classmethod
    def _leaves_a_train_split(cls, value: float, info: ValidationInfo) -> float:
        val: float = info.data.get("val", 0.0)
        if val + value >= 1:
            raise ValueError(f"val {val:g} and test {value:g} leave nothing to train on: together they must be below 1")
        return value


class ImportOptions(Part):
    """How raw data becomes a dataset."""

    split: SplitSpec = SplitSpec()
    image_size: int | None = Field(default=None, ge=8, le=1024)
    """Shorter side that images are packed at; null: 256 for large or mixed images, their own size for small ones."""
    drop_corrupt: bool = False
    """Accept that unreadable files are left out; without it a dataset with any fails and names them."""
    drop_duplicates: bool = False
    """Keep one of each group of exact duplicates."""
    label_column: Name | None = None
    """Name of the label's column in a CSV; null: `label`, `target`, `class` or `y`."""
    layout: Literal["folders", "subfolders", "table", "names"] | None = None
    """Where the classes of pictures stand: the first folders, the innermost ones, a table beside the pictures, or the
    names of the files (`cat.001.jpg`); null: whatever speaks clearest."""
    label_file: FilePath | None = None
    """Table beside the pictures that names files and labels (CSV, text, JSON, JSON Lines, Parquet, Arrow, Excel)."""
    split_folders: dict[Name, Literal["train", "val", "test", "ignore"]] | None = Field(default=None, max_length=1000)
    """What folders of pictures are, as in `{"fold1": "train", "fold5": "test"}`; `{}`: none is a split; null: by their
    names."""


class BuiltinSource(Part):
    """Data that ships with the service: `digits` (scikit-learn's 1,797 8x8 grey images)."""

    kind: Literal["builtin"]
    name: Literal["digits"] = "digits"
    options: ImportOptions = ImportOptions()


class TorchvisionSource(Part):
    """A torchvision dataset by its name (`FashionMNIST`, `MNIST`, `CIFAR10`, ...), from files under a data root."""

    kind: Literal["torchvision"]
    name: str = Field(default="FashionMNIST", max_length=MAX_WORDS, json_schema_extra={"enum": [*datasets.KNOWN]})
    """One of torchvision's classification datasets: `GET /v1/known-datasets`."""
    variant: Name | None = None
    """Which edition, where there are several (EMNIST's `letters`, Imagenette's `160px`); null: the first of them."""
    path: FilePath | None = None
    """Folder of the files; null: searched for under the data roots."""
    download: bool = False
    """Fetch the files when they are not under a data root."""
    options: ImportOptions = ImportOptions()

    @field_validator("name")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in datasets.KNOWN:
            near = difflib.get_close_matches(value, datasets.KNOWN, n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(sorted(datasets.KNOWN))
            raise PydanticCustomError(
                "unknown_dataset", "no classification dataset of torchvision is called `{name}`; {hint}",
                {"name": value, "hint": hint},
            )  # fmt: skip
        return value

    @field_validator("variant")
    @classmethod
    def _is_a_variant(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = datasets.KNOWN.get(info.data.get("name", ""))
        if value is not None and known is not None and value not in known.variants:
            listed = ", ".join(known.variants) or "it has none"
            raise PydanticCustomError(
                "unknown_variant", "{name} has no variant `{value}`: {listed}",
                {"name": known.name, "value": value, "listed": listed},
            )  # fmt: skip
        return value


class PathSource(Part):
    """A folder, an archive, an npz or a CSV under one of the operator's data roots."""

    kind: Literal["path"]
    path: FilePath
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

    name: DatasetName
    source: PublicSource


class RevisionRequest(Part):
    """The JSON body of `POST /v1/datasets/{dataset}/revisions`: the same data once more, under other options."""

    name: DatasetName
    accept_corrupt: bool = False
    """Accept that unreadable files are left out, as the import option `drop_corrupt` does."""
    options: ImportOptions = ImportOptions()
    """Import options that differ from those of the dataset; what is not given stays as it was."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.accept_corrupt and not self.options.model_fields_set:
            raise ValueError("nothing would change; say `accept_corrupt` or other import `options`")
        return self


class UploadFields(Part):
    """What an uploaded file shall become."""

    name: DatasetName
    filename: str = Field(min_length=1, max_length=MAX_FILENAME)
    options: ImportOptions = ImportOptions()


class UploadRequest(UploadFields):
    """The JSON body of `POST /v1/uploads`: a file that will come in pieces."""

    size: int = Field(ge=1)
    """Bytes of the whole file."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the whole file, as hex: what has arrived is compared with it, and an upload that broke off is found by it."""


class ImportSpec(JobCommon):
    """The job behind `POST /v1/datasets`; clients do not submit it themselves."""

    kind: Literal["import"]
    dataset: str
    """Id of the dataset row that the import fills."""
    source: DatasetSource
