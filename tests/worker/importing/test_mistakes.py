"""Common mistakes with data, made over the HTTP API: whoever makes one is told before anything is trained."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import two_classes
from tests.worker.importing.service import ImportService

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 300)
X = RNG.normal(size=(300, 4)) + Y[:, None]


def npz(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def csv(rows: list[str], header: str = "a,b,label") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def resaved(data: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(data)).resize((96, 96)), "JPEG", quality=85)


def test_sound_data_are_told_nothing(importer: ImportService) -> None:
    dataset = importer.upload("a.npz", npz(X=X.astype(np.float32), y=Y))
    assert {finding["severity"] for finding in importer.findings(dataset).values()} <= {"info"}
    assert not {code for code in importer.warnings(dataset) if code.startswith("data-")}


def test_numbers_that_are_not_normalised(importer: ImportService) -> None:
    rows = [f"{a * 1e6},{b},{label}" for (a, b), label in zip(X[:, :2], Y, strict=True)]
    dataset = importer.upload("a.csv", csv(rows))
    finding = importer.findings(dataset)["not_normalised"]
    assert finding["severity"] == "warning"
    assert finding["evidence"]["concerned"][0] == "a"
    assert "normalize" in finding["remedy"]["text"]
    assert not {"data-not-normalised", "not-normalised"} & set(importer.warnings(dataset)), "the default mends it"
    raw = importer.warnings(dataset, preprocess={"normalize": "none"})
    assert {"data-not-normalised", "not-normalised"} <= set(raw)


def test_pictures_that_are_not_normalised_or_already_are(importer: ImportService) -> None:
    grey = RNG.integers(0, 256, (300, 8, 8), np.uint8)
    dataset = importer.upload("a.npz", npz(X=grey, y=Y))
    assert "not_normalised" in importer.findings(dataset)
    assert "not-normalised" in importer.warnings(dataset, preprocess={"normalize": "none"})
    already = importer.upload("a.npz", npz(X=(grey / 255 - 0.5) / 0.25, y=Y))
    assert importer.findings(already)["odd_range"]["severity"] == "warning"
    assert "data-odd-range" in importer.warnings(already)


@pytest.mark.parametrize("kind", ["the same files", "resized copies", "the same rows"])
def test_held_out_samples_that_leak_from_train(importer: ImportService, kind: str) -> None:
    if kind == "the same rows":
        arrays = {"X_train": X[:200], "y_train": Y[:200], "X_test": X[180:], "y_test": Y[180:]}
        dataset = importer.upload("a.npz", npz(**arrays))
    else:
        files = {f"train/{name}": data for name, data in two_classes(30).items()}
        copies = {name.replace("train", "test"): data for name, data in list(files.items())[:8]}
        if kind == "resized copies":
            copies = {name.replace("png", "jpg"): resaved(data) for name, data in copies.items()}
        dataset = importer.upload("a.zip", archive(files | copies))
    finding = importer.findings(dataset)["leakage"]
    assert finding["severity"] == "critical"
    assert finding["evidence"]["samples_concerned"] == (20 if kind == "the same rows" else 8)
    assert "drop_duplicates" in finding["remedy"]["text"]
    assert "data-leakage" in importer.warnings(dataset)


def test_a_column_that_was_made_from_the_label(importer: ImportService) -> None:
    rows = [f"{a},{label * 10 + 3},{label}" for a, label in zip(X[:, 0], Y, strict=True)]
    dataset = importer.upload("a.csv", csv(rows))
    assert importer.findings(dataset)["target_leak"]["evidence"]["features"] == ["b"]
    assert "data-target-leak" in importer.warnings(dataset)


def test_samples_in_the_order_of_their_labels(importer: ImportService) -> None:
    order = np.argsort(Y, kind="stable")
    dataset = importer.upload("a.npz", npz(X=X[order].astype(np.float32), y=Y[order]))
    finding = importer.findings(dataset)["sorted_labels"]
    assert finding["evidence"]["neighbours_alike"] > 0.9
    assert "shuffle" in finding["remedy"]["text"]
    assert "no-shuffle" not in importer.warnings(dataset)
    assert "no-shuffle" in importer.warnings(dataset, shuffle=False)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": X, "y": Y}, "float64"),
        ({"X": X.astype(np.float32), "y": Y.astype(np.float64)}, "labels were numbers of type float64"),
        ({"X": X.astype(np.float32), "y": np.eye(3)[Y]}, "one-hot"),
        ({"X": RNG.integers(0, 65536, (300, 6, 6), np.uint16), "y": Y}, "uint16"),
        ({"X": RNG.uniform(size=(300, 6, 6)), "y": Y}, "float64"),
    ],
)
def test_numbers_of_the_wrong_type(importer: ImportService, arrays: dict[str, NDArray[Any]], said: str) -> None:
    dataset = importer.upload("a.npz", npz(**arrays))
    assert said in importer.findings(dataset)["wrong_dtype"]["explanation"]
    assert dataset["counts"]["train"] > 200


def test_numbers_that_are_text(importer: ImportService) -> None:
    rows = [f"{a:.1f} kg,{b},{label}" for (a, b), label in zip(X[:, :2], Y, strict=True)]
    told = importer.findings(importer.upload("a.csv", csv(rows)))["table_form"]["explanation"]
    assert "numbers with units, which were left out: a (kg)" in told


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_labels_that_start_at_one(importer: ImportService, kind: str) -> None:
    rows = [f"{a},{b},{label + 1}" for (a, b), label in zip(X[:, :2], Y, strict=True)]
    dataset = importer.upload("a.npz", npz(X=X, y=Y + 1)) if kind == "npz" else importer.upload("a.csv", csv(rows))
    finding = importer.findings(dataset)["labels_not_from_zero"]
    assert "start at 1" in finding["explanation"]
    assert dataset["classes"] == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["archive", "npz", "csv"])
def test_a_class_that_train_lacks(importer: ImportService, kind: str) -> None:
    if kind == "archive":
        files = {f"train/{name}": data for name, data in two_classes(20).items()}
        files |= {f"test/{name}": encoded(picture(100 + n)) for n, name in enumerate(two_classes(4))}
        dataset = importer.upload("a.zip", archive(files | {"test/2/1.png": encoded(picture(500))}))
    elif kind == "npz":
        train = Y != 2
        dataset = importer.upload("a.npz", npz(X_train=X[train], y_train=Y[train], X_test=X + 9, y_test=Y))
    else:
        rows = [f"{a},{label},{'test' if label == 2 else 'train'}" for a, label in zip(X[:, 0], Y, strict=True)]
        dataset = importer.upload("a.csv", csv(rows, "a,label,split"))
    finding = importer.findings(dataset)["class_missing"]
    assert finding["severity"] == "critical"
    assert finding["evidence"]["missing_in_train"] == ["2"]
    assert "data-class-missing" in importer.warnings(dataset)


def test_a_job_that_was_submitted_before_the_import_ended_is_told_too(importer: ImportService) -> None:
    train = Y != 2
    arrays = {"X_train": X[train], "y_train": Y[train], "X_test": X + 9, "y_test": Y}
    dataset = importer.hand_in("a.npz", npz(**arrays))
    job = importer.client.post("/v1/jobs", json={"kind": "train", "dataset": dataset["id"]}).json()
    importer.run(dataset)
    logs = importer.client.get(f"/v1/jobs/{job['id']}/logs", params={"level": "warning"}).text
    assert "/dataset: A class without a sample in train" in logs
    assert importer.client.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"
    later = importer.client.post("/v1/jobs", json={"kind": "train", "dataset": dataset["id"]}).json()
    assert "data-class-missing" in {warning["code"] for warning in later["warnings"]}


def test_unreadable_files_are_accepted_without_another_upload(importer: ImportService) -> None:
    files = two_classes(20) | {"cats/broken.png": b"\x89PNG", "dogs/page.jpg": b"<!DOCTYPE html><html>"}
    failed = importer.upload("a.zip", archive(files))
    assert failed["state"] == "failed"
    seen = importer.profile(failed)
    assert {file["file"] for file in seen["corrupt"]} == {"cats/broken.png", "dogs/page.jpg"}
    assert len(seen["class_counts"]["train"]) == 2
    body = {"name": "accepted", "accept_corrupt": True}
    response = importer.client.post(f"/v1/datasets/{failed['id']}/revisions", json=body)
    assert response.status_code == 202, response.text
    revised = importer.run(response.json())
    assert (revised["state"], revised["parent"], sum(revised["counts"].values())) == ("ready", failed["id"], 20)
    response = importer.client.post(f"/v1/datasets/{failed['id']}/revisions", json=body | {"name": "third"})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_a_refused_layout_lists_its_files_and_is_said_without_another_upload(importer: ImportService) -> None:
    files = {f"{split}/{n}.png": encoded(picture(n)) for n in range(12) for split in ("train", "test")}
    failed = importer.upload("a.zip", archive(files | {"train/heic.heic": b"x"}), drop_corrupt=True)
    assert "folders of splits" in failed["error"]["detail"]
    assert [file["file"] for file in importer.profile(failed)["corrupt"]] == ["train/heic.heic"]
    body = {"name": "as-folders", "options": {"layout": "folders"}}
    revised = importer.run(importer.client.post(f"/v1/datasets/{failed['name']}/revisions", json=body).json())
    assert revised["classes"] == ["test", "train"]
