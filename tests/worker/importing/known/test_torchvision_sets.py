"""Known datasets: found under the data roots or downloaded, and what is missing is named."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import ImportRefusedError
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import run_import
from tests.worker.importing.known import torchvision_files as files
from tests.worker.importing.known.known_imports import imported, refusal
from tests.worker.importing.service import ImportService
from worker.engine.runtime.torchvision_shim import torchvision


@pytest.mark.usefixtures("any_checksum")
def test_a_part_without_labels_is_left_out(tmp_path: Path) -> None:
    files.fer2013_unlabelled(tmp_path)
    assert len(imported(tmp_path, "FER2013").dataset.y) == 14


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize("place", ["", "cifar10", "CIFAR10"])
def test_files_are_found_in_a_folder_of_their_own_and_by_path(tmp_path: Path, place: str) -> None:
    files.cifar10(tmp_path / "root" / place)
    assert len(imported(tmp_path / "root", "CIFAR10").dataset.y) == 24
    inner = tmp_path / "root" / place / "cifar-10-batches-py"
    assert len(imported(tmp_path / "root", "CIFAR10", path=str(inner)).dataset.y) == 24


def test_missing_files_are_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, "Food101")
    assert error.reason == "files-not-found"
    assert "expects `food-101/images`, `food-101/meta/train.json`" in error.detail
    files.food101(tmp_path)
    (tmp_path / "food-101/meta/test.json").unlink()
    assert f"{tmp_path} lacks `food-101/meta/test.json`" in refusal(tmp_path, "Food101").detail
    assert not any(path.name.startswith("caltech") for path in tmp_path.iterdir())


@pytest.mark.usefixtures("any_checksum")
def test_pictures_that_are_missing_or_lie_elsewhere_are_named(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.jpg"
    files.food101(root)
    secret.write_bytes(encoded(picture(900), "JPEG"))
    (root / "food-101/images/waffles/2.jpg").unlink()
    (root / "food-101/images/waffles/1.jpg").unlink()
    (root / "food-101/images/waffles/1.jpg").symlink_to(secret)
    files.put(
        root / "food-101/meta/test.json", '{"apple_pie": ["apple_pie/3", "../../../secret"], "waffles": ["waffles/3"]}'
    )
    result = imported(root, "Food101", options={"drop_corrupt": True})
    assert result.reasons() == {
        "food-101/images/waffles/1.jpg": "a link that leads out of the data roots",
        "food-101/images/waffles/2.jpg": "cannot be read",
        "food-101/images/../../../secret.jpg": "not under a data root",
    }
    assert len(result.dataset.y) == 4


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not talk."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server with USPS's files."""
    folder = tmp_path / "server"
    folder.mkdir()
    files.usps(folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(folder))) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def serve(monkeypatch: pytest.MonkeyPatch, server: str, folder: Path) -> None:
    """torchvision fetches USPS from there, with the checksums of the files there."""
    listed = {
        part: [f"{server}/{file}", file, hashlib.md5((folder / file).read_bytes()).hexdigest()]
        for part, file in (("train", "usps.bz2"), ("test", "usps.t.bz2"))
    }
    monkeypatch.setattr(torchvision.datasets.USPS, "split_list", listed)


def test_files_are_downloaded_when_that_is_asked_for_and_allowed(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, server, tmp_path / "server")
    (tmp_path / "root").mkdir()
    assert refusal(tmp_path / "root", "USPS").reason == "files-not-found"
    assert refusal(tmp_path / "root", "USPS", download=True).reason == "downloads-off"
    source = {"kind": "torchvision", "name": "USPS", "download": True}
    for _ in range(2):
        result = run_import(tmp_path / "scratch", source, downloads=tmp_path / "downloads")
        assert result.profile.meta.counts["test"] == 20
    assert not list((tmp_path / "root").iterdir())


def test_a_download_that_is_not_the_official_file_is_refused(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, server, tmp_path / "server")
    (tmp_path / "server/usps.t.bz2").write_bytes(b"another")
    source = {"kind": "torchvision", "name": "USPS", "download": True}
    with pytest.raises(ImportRefusedError, match="corrupted") as caught:
        run_import(tmp_path / "scratch", source, downloads=tmp_path / "downloads")
    assert caught.value.reason == "download-failed"


def test_what_nobody_hands_out_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="put its files under a data root") as caught:
        run_import(
            tmp_path / "scratch",
            {"kind": "torchvision", "name": "ImageNet", "download": True},
            downloads=tmp_path / "downloads",
        )
    assert caught.value.reason == "download-impossible"


def test_a_known_dataset_is_imported_over_http(importer: ImportService) -> None:
    files.dtd(importer.server.store.settings.home / "roots")
    source = {"kind": "torchvision", "name": "DTD", "variant": "2"}
    made = importer.client.post("/v1/datasets", json={"name": "textures", "source": source}).json()
    ready = importer.run(made)
    assert (ready["state"], ready["classes"]) == ("ready", ["banded", "woven"]), ready
    assert ready["counts"] == {"train": 2, "val": 2, "test": 2}
    missing = importer.client.post("/v1/datasets", json={"name": "x", "source": source | {"name": "Food101"}})
    assert missing.json()["errors"][0]["pointer"] == "/source/variant"
    unknown = importer.client.post("/v1/datasets", json={"name": "x", "source": source | {"name": "Foods101"}})
    assert "did you mean `Food101`" in unknown.json()["detail"]
