"""What is known of a dataset: its content, its profile, and the resource that clients see."""

from datetime import datetime
from typing import Literal

from service.errors import Problem
from service.reports.finding import Finding
from service.reports.part import ReportPart
from service.states import DatasetState

SPLITS: tuple[str, ...] = ("train", "val", "test")


class DatasetMeta(ReportPart):
    """What an engine needs to open a packed dataset; stored as `meta.json` beside its arrays.

    Files: `x.npy` (uint8 N,H,W,C images or float32 N,F features), `y.npy` (int64 N), `split.npy` (uint8 N: 0 train,
    1 val, 2 test).
    """

    modality: Literal["image", "features"]
    classes: list[str]
    shape: list[int]
    """Of one sample: [height, width, channels] or [features]."""
    counts: dict[str, int]
    """Samples in each split."""
    mean: list[float]
    """Per channel (0-1 scale) or per feature, of the train split."""
    std: list[float]
    feature_names: list[str] = []
    categories: dict[str, list[str]] = {}
    """Categorical column of a table -> its categories; feature `column=category` is 1 where the row has it."""


class Profile(ReportPart):
    """What the import saw in the data."""

    meta: DatasetMeta
    class_counts: dict[str, dict[str, int]]
    """Split -> class -> samples."""
    dtype: str
    value_range: tuple[float, float]
    sizes: dict[str, int] = {}
    """`width x height` of the original images -> how many."""
    modes: dict[str, int] = {}
    """Pillow mode of the original images -> how many."""
    corrupt: list[dict[str, str]] = []
    """Files that could not be read: {file, reason}."""
    ignored: list[dict[str, str]] = []
    """Files that are not data (hidden, macOS, wrong place): {file, reason}."""
    duplicates: dict[str, int] = {}
    """exact, near (exact ones too), cross_split, contradicting: number of samples concerned."""
    duplicate_groups: list[list[str]] = []
    """Names of files or rows in the same group, the largest groups first (at most 100)."""
    findings: list[Finding] = []


class DatasetContent(ReportPart):
    """What an import yields: the hash over content and split, and the profile."""

    hash: str
    profile: Profile


class DatasetReport(ReportPart):
    """A dataset as clients see it."""

    id: str
    name: str
    state: DatasetState
    progress: float
    hash: str | None
    classes: list[str]
    counts: dict[str, int]
    modality: str | None
    shape: list[int]
    job: str
    """Id of the import job: its events and logs."""
    parent: str | None = None
    """Id of the dataset that it is a revision of."""
    owner: str | None
    """Name of the key that imported it; null where no keys were asked for: the admin's."""
    created_at: datetime
    error: Problem | None


class UploadReport(ReportPart):
    """A file that comes in pieces."""

    id: str
    name: str
    """Of the dataset that it will be."""
    filename: str
    size: int
    sha256: str | None
    offset: int
    """Bytes that have arrived."""
    owner: str | None
    """Name of the key that began it; null where no keys were asked for: the admin's."""
    dataset: str | None
    """The dataset, once the last byte has arrived."""
