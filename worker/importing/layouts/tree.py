"""The folders of pictures, taken apart from the top: what lies around everything, and what lies beside it."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from worker.importing.layouts.folder_names import is_masks, is_outputs, is_pictures
from worker.importing.split_names import split_of

STRAY_SHARE = 0.1
"""Pictures beside the folder that holds the classes are no class when they are at most so many of its own."""


@dataclass(frozen=True)
class Unclear:
    """Why folders are not taken for classes: what was seen, in words."""

    reason: str
    is_flat: bool = False
    """Whether the pictures lie side by side, so that their labels may stand elsewhere: in a table, in their names."""


@dataclass
class Tree:
    """Each picture with the folders that are left of its path."""

    rest: dict[str, tuple[str, ...]]
    ignored: dict[str, str] = field(default_factory=dict)
    """Picture -> why it is no sample."""
    said: list[str] = field(default_factory=list)
    """What was decided that its owner should know, one sentence each."""

    @classmethod
    def of(cls, names: Iterable[str]) -> "Tree":
        """The tree of these files."""
        return cls({name: tuple(name.split("/")[:-1]) for name in names})

    def tops(self, names: Iterable[str] | None = None) -> dict[str, list[str]]:
        """The first folders and the pictures below each."""
        folders: dict[str, list[str]] = {}
        for name in self.rest if names is None else names:
            if self.rest[name]:
                folders.setdefault(self.rest[name][0], []).append(name)
        return folders

    def flat(self) -> list[str]:
        """The pictures that lie in no folder."""
        return [name for name, folders in self.rest.items() if not folders]

    def below(self, names: Iterable[str]) -> set[str]:
        """The second folders of these pictures."""
        return {self.rest[name][1] for name in names if len(self.rest[name]) > 1}

    def peel(self, names: Iterable[str]) -> None:
        """Takes the first folder off."""
        for name in list(names):
            self.rest[name] = self.rest[name][1:]

    def drop(self, names: Iterable[str], reason: str) -> None:
        """Pictures that are no samples."""
        for name in list(names):
            self.ignored[name] = reason
            del self.rest[name]

    def unwrap(self) -> None:
        """Takes off the folders around everything, and drops what lies beside them."""
        while (tops := self.tops()) and self._unwrap(tops):
            pass

    def _unwrap(self, tops: dict[str, list[str]]) -> bool:
        main = max(tops, key=lambda top: (bool(self.below(tops[top])), len(tops[top])))
        if _undouble(self, tops):
            return True
        if not self.below(tops[main]):
            return False
        flat, strays = self.flat(), [top for top in tops if top != main]
        if strays and not self._are_strays(main, strays, tops):
            return False
        if len(flat) > len(tops[main]):
            return False
        self.drop(flat, f"beside the folder `{main}`")
        for stray in strays:
            self.drop(tops[stray], f"in `{stray}`, beside the folder `{main}`")
            self.said.append(
                f"The classes lie in `{main}`; {len(tops[stray]):,} pictures in `{stray}` beside it were left out."
            )
        self.peel(tops[main])
        return True

    def _are_strays(self, main: str, strays: list[str], tops: dict[str, list[str]]) -> bool:
        """Whether all folders but one are called as no class is, or are flat and hold few pictures."""
        named = all(is_outputs(top) or is_masks(top) for top in strays)
        if any(split_of(top) is not None for top in (main, *strays)):
            return False
        if not named and any(self.below(tops[top]) for top in strays):
            return False
        if max(len(self.below(tops[main])), max(len(self.rest[name]) for name in tops[main]) - 1) < 2:
            return False
        few = sum(len(tops[top]) for top in strays) <= STRAY_SHARE * len(tops[main])
        return few or named

    def collapse(self, names: list[str], title: str) -> None:
        """Takes off the only folder below another where it is no class: `train/images`, `train/train`."""
        while len(tops := self.tops(names)) == 1:
            [only] = tops
            same = only.casefold() == title.casefold() or split_of(only) is not None
            if not (same or is_pictures(only)):
                return
            self.peel(tops[only])


def _undouble(tree: Tree, tops: dict[str, list[str]]) -> bool:
    """Puts a folder that holds once more the folders beside it (`cells/cells/...`) in place of its copy."""
    doubled = [top for top, names in tops.items() if _is_doubled(top, tree.below(names), tops.keys())]
    if len(doubled) != 1:
        return False
    [top] = doubled
    names, inner = tops[top], tree.below(tops[top])
    outer = {(tree.rest[name], name.split("/")[-1]) for other in inner for name in tops[other]}
    copies = [name for name in names if (tree.rest[name][1:], name.split("/")[-1]) in outer]
    tree.said.append(f"The folder `{top}` holds the folders beside it once more; {len(copies):,} copies were left out.")
    tree.peel(set(names) - set(copies))
    tree.drop(copies, f"a copy: `{top}` holds the folders beside it once more")
    return True


def _is_doubled(top: str, inner: set[str], tops: Set[str]) -> bool:
    others = tops - {top}
    return len(inner) > 1 and inner <= others and 2 * len(inner) >= len(others) and split_of(top) is None
