"""Which picture of a container is a sample, of which class and split: by folders, by a table, or by file names."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from service.errors import ImportRefusedError
from service.reports.finding import Finding
from service.specs.dataset import ImportOptions
from worker.importing.archives.listing import Listing, Member
from worker.importing.findings import finding
from worker.importing.labels import check_spellings, refuse_several, spellings
from worker.importing.layouts.exports import export_of
from worker.importing.layouts.file_names import labels_of_names, masks_beside
from worker.importing.layouts.folder_names import is_masks
from worker.importing.layouts.folders import FolderClasses, quoted, read_folders
from worker.importing.layouts.label_files import read_label_files
from worker.importing.layouts.matching import folder_split
from worker.importing.layouts.recognition import pictures_of
from worker.importing.layouts.table_labels import TableLabels, labels_of_files
from worker.importing.layouts.tree import Unclear
from worker.importing.names import printable
from worker.importing.splits import TRAIN

HOW_TO_SAY = (
    "Put the pictures into a folder for each class (class/picture.jpg, or train/class/picture.jpg), or say how it is "
    "meant with the options `layout` (folders, subfolders, table, names), `label_file` and `split_folders`."
)

MANY_NUMBERS = 20
"""Labels that are so many different numbers may be measurements."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is a sample, with its class and its split, where it has one."""

    file: Member
    label: str
    split: int | None

    @property
    def name(self) -> str:
        """The file's, in characters that every store takes."""
        return printable(self.file.name)


@dataclass
class Arrangement:
    """The samples in the order of their names, the names of the classes, and what was decided."""

    pictures: list[Picture]
    classes: list[str]
    has_splits: bool
    notes: list[Finding | None] = field(default_factory=list)


def arrange(listing: Listing, options: ImportOptions) -> Arrangement:
    """Sorts a container's files into samples and others; what is no sample is listed with the reason.

    ImportRefusedError says what was seen where no classes can be told.
    """
    pictures = pictures_of(listing)
    names = [picture.name for picture in pictures]
    samples = set(names)
    others = [member for member in listing.members.values() if member.name not in samples]
    masks = masks_beside(names)
    classes = label([name for name in names if name not in masks], others, options)
    if isinstance(classes, Unclear):
        export = export_of(names, [member.name for member in others])
        raise ImportRefusedError("layout-no-classes", _advice(classes, export, len(names), listing))
    if masks:
        classes.ignored.update((mask, f"the mask of `{printable(picture)}`") for mask, picture in masks.items())
        classes.said.append(f"{len(masks):,} pictures are masks of the pictures beside them; they were left out.")
    classes.said.extend(listing.said)
    for name, reason in sorted(classes.ignored.items()):
        listing.ignore(name, reason)
    return _arrangement(pictures, classes)


def label(names: Sequence[str], others: Collection[Member], options: ImportOptions) -> FolderClasses | Unclear:
    """Class and split of each picture, by what speaks clearest."""
    asked = "table" if options.label_file is not None else options.layout
    if asked in ("folders", "subfolders"):
        return read_folders(names, asked, options.split_folders)
    if asked == "names":
        return _by_names(names) or Unclear(
            "the names of the files begin or end with no label that several of them share"
        )
    by_table = _by_table(names, others, options)
    if asked == "table":
        sought = f"`{options.label_file}`" if options.label_file else "a table beside the pictures"
        return _from_table(names, by_table) or Unclear(f"{sought} names none of the {len(names):,} pictures")
    by_folders = read_folders(names, None, options.split_folders)
    if isinstance(by_folders, FolderClasses):
        return _from_table(names, by_table) if _overrules(by_table, by_folders) else by_folders  # type: ignore[return-value]
    if isinstance(by_table, TableLabels) and len(set(by_table.labels.values())) > 1:
        return _from_table(names, by_table)  # type: ignore[return-value]
    if by_folders.is_flat and not export_of(names, [member.name for member in others]) and (read := _by_names(names)):
        return read
    if isinstance(by_table, Unclear):
        return Unclear(f"{by_folders.reason}; {by_table.reason}")
    return by_folders


def _by_table(names: Sequence[str], others: Iterable[Member], options: ImportOptions) -> TableLabels | Unclear | None:
    files = read_label_files(others, options.label_file)
    pictures = [name for name in names if not any(map(is_masks, name.split("/")[:-1]))]
    return labels_of_files(files, pictures or names, options.label_column) if files else None


def _from_table(names: Sequence[str], table: TableLabels | Unclear | None) -> FolderClasses | Unclear | None:
    if not isinstance(table, TableLabels):
        return table
    ignored = {
        name: "several labels in the table" if name in table.conflicts else f"no label in {table.file}"
        for name in names
        if name not in table.labels
    }
    said = [f"The labels come from `{table.column}` of {table.file}, not from folders."]
    if ignored:
        said.append(f"{len(ignored):,} pictures without a label there were left out.")
    classes = set(table.labels.values())
    are_measured = len(classes) >= MANY_NUMBERS and all(map(_is_number, classes))
    if are_measured:
        said.append(f"They are {len(classes):,} different numbers: is this a regression? Each is a class here.")
    return FolderClasses(table.labels, table.splits, ignored, said, is_plain=table.is_named and not are_measured)


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _overrules(table: TableLabels | Unclear | None, folders: FolderClasses) -> bool:
    """Whether a table with a column of labels says other classes than the folders do."""
    if not isinstance(table, TableLabels) or not table.is_named:
        return False
    common = table.labels.keys() & folders.labels.keys()
    pairs = {(folders.labels[name], table.labels[name]) for name in common}
    is_renamed = len(pairs) == len({folder for folder, _ in pairs}) == len({text for _, text in pairs})
    return len(common) > len(folders.labels) / 2 and not is_renamed


def _by_names(names: Sequence[str]) -> FolderClasses | None:
    """Labels in the names of the files; of splits, those of each that has such."""
    splits = {name: split for name in names if (split := folder_split(name)) is not None}
    groups: dict[int | None, list[str]] = {}
    for name in names:
        groups.setdefault(splits.get(name), []).append(name)
    labels = {name: label for group in groups.values() for name, label in labels_of_names(group).items()}
    has_train = any(splits.get(name) == TRAIN for name in labels)
    if not labels or (splits and not has_train):
        return None
    ignored = {name: "no label in its name" for name in names if name not in labels}
    said = [f"The labels were taken from the names of the files: {quoted(sorted(set(labels.values())))}."]
    if ignored:
        said.append(f"{len(ignored):,} pictures without one were left out.")
    is_split = has_train and labels.keys() <= splits.keys() and len({splits[name] for name in labels}) > 1
    return FolderClasses(labels, {name: splits[name] for name in labels} if is_split else {}, ignored, said)


def _arrangement(pictures: Sequence[Member], found: FolderClasses) -> Arrangement:
    spelled = {name: printable(label) for name, label in found.labels.items()}
    counts = Counter(found.labels.values())
    refuse_several(counts)
    class_of = spellings(counts)
    alike = check_spellings(class_of, counts)
    samples = [
        Picture(member, printable(class_of[found.labels[member.name]]), found.splits.get(member.name))
        for member in pictures
        if member.name in spelled
    ]
    classes = sorted({picture.label for picture in samples})
    if len(classes) < 2:
        reason = (
            f"all pictures are of one class, `{classes[0]}`; there is nothing to tell apart"
            if classes
            else "no class has pictures"
        )
        said = [reason, *found.said, *([alike.explanation] if alike else [])]
        raise ImportRefusedError("layout-no-classes", " ".join(said))
    return Arrangement(samples, classes, bool(found.splits), [alike, _note(found)])


def _note(found: FolderClasses) -> Finding | None:
    """P31: how the layout was read, where that is not plain."""
    if not found.said:
        return None
    return finding(
        "P31", "info" if found.is_plain else "warning", " ".join(found.said),
        "Nothing if that is what you mean; else say it with the options `layout`, `label_file` and `split_folders`.",
        ignored=len(found.ignored),
    )  # fmt: skip


def _advice(unclear: Unclear, export: str | None, pictures: int, listing: Listing) -> str:
    if not pictures and listing.corrupt:
        example = listing.corrupt[0]
        return f"none of {len(listing.corrupt):,} pictures can be read; {example['file']}: {example['reason']}"
    if not pictures:
        return "no pictures were found; a dataset of images is a folder for each class, with its pictures in it"
    return f"{unclear.reason}. " + (f"The files beside them say more: {export}. " if export else "") + HOW_TO_SAY
