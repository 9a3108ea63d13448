"""Classes and splits that folders stand for; or why they do not."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.importing.layouts.folder_names import has_masks_of, is_group, is_masks, is_outputs, is_part, is_pictures
from worker.importing.layouts.tree import Tree, Unclear
from worker.importing.split_names import SPLIT_TITLES, split_of, splits_of
from worker.importing.splits import TRAIN

IGNORE = "ignore"
FEW_SUBFOLDERS = 2


@dataclass(frozen=True)
class FolderClasses:
    """The label of each sample, and its split where folders say one."""

    labels: dict[str, str]
    splits: dict[str, int]
    ignored: dict[str, str]
    said: list[str]
    """What was decided that its owner should know, one sentence each."""
    is_plain: bool = False
    """Whether what was said is what the data say themselves, not a guess."""


def read_folders(
    names: Sequence[str], layout: str | None = None, split_folders: Mapping[str, str] | None = None
) -> FolderClasses | Unclear:
    """Which class and split each picture belongs to by its folders; Unclear where they say something else.

    `layout` is `folders` (the first ones are classes, whatever they are called) or `subfolders` (the innermost ones).
    """
    tree = Tree.of(names)
    splits = find_splits(tree, layout, split_folders)
    if isinstance(splits, Unclear):
        return splits
    if not any(tree.rest.values()):
        return Unclear(
            f"{len(names):,} pictures, none in the folder of a class: class/picture.jpg, or train/class/picture.jpg",
            is_flat=True,
        )
    labels = _labels(tree, splits, layout)
    if isinstance(labels, Unclear):
        return labels
    return FolderClasses(labels, {name: splits[name] for name in labels if name in splits}, tree.ignored, tree.said)


def find_splits(
    tree: Tree, layout: str | None = None, split_folders: Mapping[str, str] | None = None
) -> dict[str, int] | Unclear:
    """The splits that folders say, and the tree without these folders; empty where there are none."""
    given = _given_splits(tree, split_folders or {})
    tree.unwrap()
    if given or split_folders == {}:
        return given
    tops = tree.tops()
    found = splits_of([top for top in tops if not is_masks(top) and not is_outputs(top)])
    are_folds = found is not None and TRAIN not in found.values() and all(map(is_part, tops))  # `cv1`, `cv2`
    if found is None or len(found) < 2 or are_folds:
        return _test_beside_classes(tree, tops)
    return _peel_splits(tree, tops, found, layout)


def _given_splits(tree: Tree, split_folders: Mapping[str, str]) -> dict[str, int]:
    """Splits by the option: a key is a folder, or several of a path."""
    splits: dict[str, int] = {}
    keys = {tuple(part.casefold() for part in key.strip("/").split("/")): use for key, use in split_folders.items()}
    for name, folders in list(tree.rest.items()):
        for key, use in keys.items():
            at = next(
                (n for n in range(len(folders)) if tuple(map(str.casefold, folders[n : n + len(key)])) == key), None
            )
            if at is not None and use == IGNORE:
                tree.drop([name], f"in `{'/'.join(folders[at : at + len(key)])}`, which `split_folders` leaves out")
                break
            if at is not None:
                splits[name] = SPLIT_TITLES.index(use)
                tree.rest[name] = folders[:at] + folders[at + len(key) :]
                break
    if splits:
        tree.drop([name for name in tree.rest if name not in splits], "outside of the folders of `split_folders`")
    return splits


def _test_beside_classes(tree: Tree, tops: dict[str, list[str]]) -> dict[str, int]:
    """Splits of `cat/`, `dog/` and `test/cat/`, `test/dog/` beside them: what is in no other split is train."""
    splits: dict[str, int] = {}
    inner = [top for top in tops if split_of(top) not in (None, TRAIN) and tree.below(tops[top])]
    if not inner or not all(tree.below(tops[top]) <= tops.keys() - set(inner) for top in inner):
        return _splits_within_classes(tree, tops)
    for name in tree.rest:
        splits[name] = TRAIN
    for top in inner:
        splits |= dict.fromkeys(tops[top], split_of(top) or TRAIN)
        tree.peel(tops[top])
    return splits


def _splits_within_classes(tree: Tree, tops: dict[str, list[str]]) -> dict[str, int]:
    """Splits of `cat/train/`, `cat/test/`, `dog/train/`, `dog/test/`."""
    inner = set().union(*(tree.below(names) for names in tops.values()))
    found = splits_of(inner) if len(tops) > 1 and len(inner) > 1 else None
    nested = [name for name, folders in tree.rest.items() if folders]
    if found is None or len(found) < len(inner) or not all(_is_split_of_class(tree.rest[name]) for name in nested):
        return {}
    splits = {name: found[tree.rest[name][1]] for name in nested}
    for name in nested:
        tree.rest[name] = tree.rest[name][:1]
    return splits


def _is_split_of_class(folders: tuple[str, ...]) -> bool:
    return len(folders) > 1 and all(map(is_pictures, folders[2:]))


def _peel_splits(
    tree: Tree, tops: dict[str, list[str]], found: Mapping[str, int], layout: str | None
) -> dict[str, int] | Unclear:
    before = dict(tree.rest)
    inner = {sub for top in found for sub in tree.below(tops[top])}
    for top in found:
        tree.peel(tops[top])
        tree.collapse(tops[top], top)
    deep = [top for top in found if any(tree.rest[name] for name in tops[top])]
    if not deep:
        tree.rest = before
        others = [top for top in tops if top not in found]
        return {} if layout == "folders" else Unclear(_flat_splits(list(found), others, inner), is_flat=True)
    if TRAIN not in {found[top] for top in deep}:
        return Unclear(f"{quoted(deep)} hold folders of classes, and no folder holds training pictures in such")
    for top in tops.keys() - set(deep):
        where = (
            f"`{top}` has no folders of classes" if top in found else f"`{top}` is none of the splits {quoted(deep)}"
        )
        tree.drop(tops[top], f"in `{top}`, which is no split with classes")
        tree.said.append(f"{where}; its {len(tops[top]):,} pictures were left out.")
    return {name: found[top] for top in deep for name in tops[top]}


def _flat_splits(splits: Sequence[str], others: Collection[str] = (), inner: Collection[str] = ()) -> str:
    beside = f" (beside {quoted(others)})" if others else ""
    held = f": they hold {quoted(sorted(inner))}, as exports for detection do (YOLO, COCO)" if inner else ""
    return f"{quoted(splits)} are folders of splits without folders of classes in them{held}{beside}"


def _labels(tree: Tree, splits: Mapping[str, int], layout: str | None) -> dict[str, str] | Unclear:
    """The class of each picture that is left: its first folder, unless something says otherwise."""
    if layout == "subfolders":
        tree.drop(tree.flat(), "not in the folder of a class")
        return {name: folders[-1] for name, folders in tree.rest.items()}
    if layout is None:
        for step in STEPS:
            if (unclear := step(tree, splits)) is not None:
                return unclear
    tree.drop(
        tree.flat(), "not in the folder of a class" if not splits else "not in the folder of a class of its split"
    )
    return {name: folders[0] for name, folders in tree.rest.items()}


def _leave_out_asides(tree: Tree, _: Mapping[str, int]) -> Unclear | None:
    """Masks and the like beside classes are left out; beside nothing but pictures there are no classes."""
    tops = tree.tops()
    outputs = [top for top in tops if is_outputs(top)]
    asides = [top for top in tops if is_masks(top) or has_masks_of(top, tops)] + (
        outputs if len(outputs) == 1 or len(outputs) == len(tops) else []
    )
    others = [top for top in tops if top not in asides]
    if not asides:
        return None
    if len(others) < 2:
        return Unclear(
            f"the folders {quoted(tops)} hold pictures and what belongs to them (masks, outputs), not classes"
        )
    for top in asides:
        tree.drop(tops[top], f"in `{top}`, which is no class")
        tree.said.append(
            f"The folder `{top}` was not taken for a class; its {len(tops[top]):,} pictures were left out."
        )
    return None


def _pool_parts(tree: Tree, splits: Mapping[str, int]) -> Unclear | None:
    """Folds and other numbered parts that hold the classes are taken together; without classes they are none."""
    tops = tree.tops()
    if len(tops) < 2:
        return (
            Unclear(f"the folder {quoted(tops)} holds pictures, not classes", is_flat=True)
            if all(map(is_pictures, tops))
            else None
        )
    inner = {top: tree.below(names) for top, names in tops.items()}
    is_shared = _share(list(inner.values()))
    if not all(map(is_part, tops)) and not (all(map(is_group, tops)) and is_shared):
        return (
            Unclear(f"the folders {quoted(tops)} hold pictures, not classes", is_flat=True)
            if all(map(is_pictures, tops))
            else None
        )
    if (unclear := _own_splits(inner)) is not None:
        return unclear
    names = [name for name, folders in tree.rest.items() if folders]
    for top in tops:
        tree.peel(tops[top])
        tree.collapse(tops[top], top)
    if not any(tree.rest[name] for name in names):
        return Unclear(f"the folders {quoted(tops)} are numbered parts, not classes", is_flat=True)
    example = sorted(tops)[-1]
    tree.said.append(
        f"The folders {quoted(tops)} were taken together as parts of one dataset, and the splits are drawn from all; "
        f'to hold one out say `split_folders`: {{"{example}": "test", ...}} and "train" for the others.'
    )
    return None


def _own_splits(inner: Mapping[str, set[str]]) -> Unclear | None:
    found = splits_of(set().union(*inner.values()))
    if not found or not all(inner.values()):
        return None
    one = sorted(inner)[0]
    say = ", ".join(f'"{one}/{sub}": "{SPLIT_TITLES[found[sub]]}"' for sub in sorted(inner[one]) if sub in found)
    return Unclear(
        f"each of the folders {quoted(inner)} has splits of its own; choose one, as in `split_folders`: {{{say}}}"
    )


def _read_subfolders(tree: Tree, splits: Mapping[str, int]) -> Unclear | None:
    """What it means that would-be classes hold the same folders, or folders of their own."""
    tops = tree.tops()
    inner = {top: subfolders for top, names in tops.items() if (subfolders := tree.below(names))}
    if not inner:
        return None
    shared = sorted(set().union(*inner.values()))
    for top, names in tops.items():
        masks = [name for name in names if len(tree.rest[name]) > 1 and is_masks(tree.rest[name][1])]
        if masks and len(masks) < len(names):
            tree.drop(masks, f"masks of `{top}`")
    if not _share(list(inner.values())) or all(is_pictures(sub) or is_masks(sub) for sub in shared):
        plain = [sub for sub in shared if not is_pictures(sub) and not is_masks(sub)]
        if plain:
            tree.said.append(
                f"The classes are {quoted(tops)}; the folders in them ({quoted(plain)}) were not used. "
                "`layout: subfolders` makes classes of these."
            )
        return None
    if (unclear := _own_splits(inner)) is not None:
        return unclear
    if all(map(is_group, shared)):
        return None
    return Unclear(
        f"the folders {quoted(tops)} hold the same folders {quoted(shared)}: either may be the classes; say `layout`: "
        f'"folders" for {quoted(list(tops)[:2])}, or "subfolders" for {quoted(shared[:2])}'
    )


def _look_at_names(tree: Tree, splits: Mapping[str, int]) -> Unclear | None:
    """No class is called as a split is, unless it is told."""
    tops = tree.tops()
    suspects = [top for top in tops if split_of(top) is not None]
    others = [top for top in tops if top not in suspects]
    if not suspects:
        return None
    if len(others) < 2 or len(suspects) > 1:
        said = f"{quoted(suspects)} are names of splits, beside {quoted(others)}" if others else _flat_splits(suspects)
        return Unclear(said, is_flat=True)
    [suspect] = suspects
    if split_of(suspect) == TRAIN and not tree.below(tops[suspect]):
        tree.said.append(
            f"`{suspect}` was taken for a class, as the folders beside it ({quoted(others)}); if it is not, say "
            f'`split_folders`: {{"{suspect}": "ignore"}}.'
        )
        return None
    if tree.below(tops[suspect]):
        return Unclear(f"`{suspect}` is the name of a split, beside the folders {quoted(others)}")
    tree.drop(tops[suspect], f"in `{suspect}`, which is the name of a split and has no folders of classes")
    tree.said.append(f"`{suspect}` is the name of a split without folders of classes; its pictures were left out.")
    return None


STEPS: tuple[Callable[[Tree, Mapping[str, int]], Unclear | None], ...] = (
    _leave_out_asides, _pool_parts, _read_subfolders, _look_at_names,
)  # fmt: skip


def _share(folders: Sequence[set[str]]) -> bool:
    """Whether most of these sets of folders have the same members."""
    with_any = [names for names in folders if names]
    common = set.intersection(*with_any) if with_any else set()
    return len(with_any) > 1 and 2 * len(common) >= len(set.union(*with_any)) > 0 and 2 * len(with_any) > len(folders)


def quoted(names: Collection[str], limit: int = 6) -> str:
    """The names in a sentence: `a`, `b` and `c`."""
    shown = [f"`{name}`" for name in list(names)[:limit]]
    if len(names) > limit:
        return ", ".join(shown) + f" and {len(names) - limit:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
