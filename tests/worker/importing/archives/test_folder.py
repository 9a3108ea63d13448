"""Folders: links are followed as far as the data roots reach, and no name stops an import."""

import os
import tarfile
from pathlib import Path

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import (
    FILES,
    import_path,
    run_import,
    write_folder,
)


def test_names_that_are_no_text_at_all_do_not_stop_an_import(tmp_path: Path, tree: Path) -> None:
    broken = os.fsencode(tree) + b"/cats/\xff\xfe.png"
    Path(os.fsdecode(broken)).write_bytes(b"")
    imported = import_path(tree, drop_corrupt=True)
    assert imported.reasons() == {"cats/\\xff\\xfe.png": "an empty file"}


def test_links_within_stand_for_their_files(tmp_path: Path, tree: Path) -> None:
    (tree / "dogs" / "linked.png").symlink_to("../cats/001.png")
    os.link(tree / "cats" / "003.png", tree / "cats" / "hard.png")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tree, "photos")
    from_folder, from_tar = import_path(tree), import_path(tmp_path / "a.tar.gz")
    assert from_folder.hash == from_tar.hash
    assert len(from_tar.dataset.y) == 14
    assert from_tar.profile.duplicates == {"exact": 4, "near": 4, "cross_split": 0, "contradicting": 2}


def test_links_of_a_folder_that_lead_out_of_the_data_roots_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree = write_folder(root / "tree", FILES)
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(picture(77)))
    (tree / "cats" / "out.png").symlink_to(secret)
    (tree / "cats" / "nowhere.png").symlink_to("gone.png")
    (tree / "cats" / "round.png").symlink_to("round.png")
    (tree / "birds").symlink_to(tree / "cats")
    os.mkfifo(tree / "dogs" / "pipe.png")
    source = {"kind": "path", "path": str(tree), "options": {"drop_corrupt": True}}
    imported = run_import(tmp_path / "scratch", source, root)
    assert len(imported.dataset.y) == 12
    assert imported.reasons() == {
        "birds": "a link to a folder is not followed",
        "cats/nowhere.png": "a link that leads nowhere",
        "cats/out.png": "a link that leads out of the data roots",
        "cats/round.png": "a link that leads nowhere",
        "dogs/pipe.png": "not a regular file",
    }
