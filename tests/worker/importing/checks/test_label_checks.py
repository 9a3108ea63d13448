"""Labels: classes that are missing or rare are named."""

from pathlib import Path

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.checks.profiles import evidence
from tests.worker.importing.imports import import_path, two_classes, write_folder


def test_a_class_that_train_lacks_is_critical(tmp_path: Path) -> None:
    files = {f"train/{name}": data for name, data in two_classes(20).items()}
    files |= {f"test/{name}": data for name, data in two_classes(4).items()}
    files |= {"test/birds/1.png": encoded(picture(500))}
    imported = import_path(write_folder(tmp_path / "tree", files))
    finding = imported.finding("class_missing")
    assert finding is not None
    assert finding.severity == "critical"
    assert finding.evidence["missing_in_train"] == ["birds"]
    assert imported.profile.class_counts["test"] == {"birds": 1, "cats": 2, "dogs": 2}


def test_imbalance_names_both_classes(tmp_path: Path) -> None:
    files = {f"common/{n}.png": encoded(picture(n)) for n in range(66)}
    files |= {f"rare/{n}.png": encoded(picture(100 + n)) for n in range(5)}
    imbalance = evidence(import_path(write_folder(tmp_path / "tree", files)), "imbalance")
    assert (imbalance["commonest"], imbalance["rarest"]) == ("common", "rare")
    assert imbalance["ratio"] > 10
