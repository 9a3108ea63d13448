"""What a job measured and concluded, over HTTP."""

import csv
import io

import httpx
import pytest
from PIL import Image

from service.reports.classification import ClassRow, ConfusionReport
from service.reports.names import ReportName
from service.reports.result import LrCurve, LrPoint, SanityReport
from tests.service.simulated_worker import CLASSES, SimulatedWorker, classification

LEAST = {"kind": "train", "dataset": "digits"}


def submit(client: httpx.Client, worker: SimulatedWorker, **spec: object) -> str:
    worker.dataset()
    response = client.post("/v1/jobs", json=LEAST | spec)
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


@pytest.fixture
def trained(client: httpx.Client, worker: SimulatedWorker) -> str:
    """Path of a job that has trained."""
    job_id = submit(client, worker)
    worker.train(job_id)
    return f"/v1/jobs/{job_id}"


def test_the_job_shows_its_result(client: httpx.Client, trained: str) -> None:
    job = client.get(trained).json()
    assert (job["state"], job["progress"]) == ("succeeded", 1.0)
    assert job["result"]["test"]["accuracy"] == 0.975
    assert client.get("/v1/jobs").json()["data"][0]["result"]["best_epoch"] == 3


def test_metrics_are_series_of_points(client: httpx.Client, trained: str) -> None:
    series = client.get(f"{trained}/metrics?names=train/loss,lr/*").json()["series"]
    assert [one["name"] for one in series] == ["lr/group0", "train/loss"]
    points = series[1]["points"]
    assert [(point["step"], point["epoch"], point["value"]) for point in points[:2]] == [(1, 1, 2.0), (2, 1, 1.0)]
    assert len(points) == 30
    assert client.get(f"{trained}/metrics?names=nothing").json() == {"series": []}
    late = client.get(f"{trained}/metrics?names=train/loss&from_step=25").json()["series"][0]["points"]
    assert [point["step"] for point in late] == [25, 26, 27, 28, 29, 30]
    few = client.get(f"{trained}/metrics?names=train/loss&max_points=8").json()["series"][0]["points"]
    assert (few[0]["step"], few[-1]["step"]) == (1, 30)
    assert len(few) <= 8


def test_metrics_as_csv(client: httpx.Client, trained: str) -> None:
    response = client.get(f"{trained}/metrics?names=train/loss&format=csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    [in_json] = client.get(f"{trained}/metrics?names=train/loss").json()["series"]
    assert [row["time"] for row in rows] == [point["time"] for point in in_json["points"]]
    assert len(rows) == 30
    assert (rows[0]["name"], float(rows[1]["value"])) == ("train/loss", 1.0)


def test_curves_per_epoch(client: httpx.Client, trained: str) -> None:
    curves = client.get(f"{trained}/curves").json()
    assert curves["best_epoch"] == 3
    assert [epoch["epoch"] for epoch in curves["epochs"]] == [1, 2, 3]
    assert curves["epochs"][1]["val"]["loss"] == pytest.approx(1.05)
    assert curves["epochs"][0]["train"]["accuracy"] == 0.5


@pytest.mark.parametrize("name", ["curves", "confusion"])
def test_pictures(client: httpx.Client, trained: str, name: str) -> None:
    svg = client.get(f"{trained}/{name}.svg")
    assert (svg.headers["content-type"], svg.text[:5]) == ("image/svg+xml", "<?xml")
    png = client.get(f"{trained}/{name}.png")
    assert png.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(png.content)).format == "PNG"
    assert client.get(f"{trained}/{name}.gif").status_code == 422


def test_confusion_and_report(client: httpx.Client, trained: str) -> None:
    confusion = client.get(f"{trained}/confusion?split=test").json()
    assert confusion["labels"] == CLASSES
    assert confusion["matrix"][3][8] == 1
    assert confusion["most_confused"][0]["true"] == "3"
    report = client.get(f"{trained}/report?split=test").json()
    assert (report["split"], report["accuracy"], len(report["classes"])) == ("test", 0.975, 10)
    rows = list(csv.reader(io.StringIO(client.get(f"{trained}/confusion.csv").text)))
    assert rows[0][1:] == CLASSES
    assert rows[4][9] == "1"


def test_reports_of_ten_thousand_classes_come_in_small_pages(client: httpx.Client, worker: SimulatedWorker) -> None:
    names = [f"species {number}" for number in range(10_000)]
    cells = [[n, (n + step) % 10_000, 3 - step] for step in range(3) for n in range(10_000)]
    rows = [ClassRow(name=name, precision=0.5, recall=0.75, f1=0.6, support=4) for name in names]
    fence = worker.train(job_id := submit(client, worker))
    confusion = ConfusionReport(split="val", labels=names, cells=cells, most_confused=[])
    worker.report(fence, ReportName.CONFUSION.of("val"), confusion)
    report = classification("val").model_copy(update={"classes": rows})
    worker.report(fence, ReportName.REPORT.of("val"), report)
    path = f"/v1/jobs/{job_id}"
    for name, items, expected in (("confusion", "cells", cells), ("report", "classes", names)):
        seen: list[object] = []
        query: str | None = ""
        while query is not None:
            answer = client.get(f"{path}/{name}{query}")
            assert len(answer.content) < 1_000_000
            page = answer.json()
            seen += page[items] if items == "cells" else [row["name"] for row in page[items]]
            query = f"?cursor={page['next_cursor']}" if page["next_cursor"] else None
        assert seen == expected
    table = list(csv.reader(io.StringIO(client.get(f"{path}/confusion.csv").text)))
    assert table[:2] == [["true", "predicted", "count"], ["species 0", "species 0", "3"]]
    assert Image.open(io.BytesIO(client.get(f"{path}/confusion.png").content)).format == "PNG"


def test_a_result_that_is_not_there_says_so(client: httpx.Client, worker: SimulatedWorker) -> None:
    path = f"/v1/jobs/{submit(client, worker)}"
    for name in ("confusion", "report", "lr-curve", "trials", "sanity", "batch-sizes", "checkup"):
        response = client.get(f"{path}/{name}")
        assert (response.status_code, response.json()["code"]) == (404, "no-result"), name
        assert "train" in response.json()["detail"]
    assert client.get(f"{path}/curves").json() == {"epochs": [], "best_epoch": None}


def test_the_lr_curve_and_its_picture(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker, kind="lr-find")
    fence = worker.claim(job_id).fence
    points = [LrPoint(lr=10**-n, loss=1 / n, smoothed=1 / n) for n in range(7, 1, -1)]
    curve = LrCurve(
        points=points,
        suggested=1e-3,
        steepest=2e-3,
        minimum_over_ten=1e-3,
        quality="good",
        reason="the loss fell",
        rule="probe",
    )
    worker.report(fence, "result", curve)
    worker.end(fence)
    body = client.get(f"/v1/jobs/{job_id}/lr-curve").json()
    assert (body["suggested"], body["quality"], len(body["points"])) == (1e-3, "good", 6)
    assert client.get(f"/v1/jobs/{job_id}/lr-curve.svg").status_code == 200
    assert "points" not in client.get("/v1/jobs").json()["data"][0]["result"]
    follower = client.post("/v1/jobs", json=LEAST | {"optimizer": {"lr": {"from_job": job_id}}})
    assert follower.status_code == 202


def test_the_sanity_verdict(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker, kind="sanity")
    fence = worker.claim(job_id).fence
    verdict = SanityReport(
        passed=True,
        accuracy=1.0,
        eval_accuracy=1.0,
        initial_loss=2.3,
        final_loss=0.01,
        steps=60,
        lr=1e-3,
        loss_per_step=[2.3, None, 0.01],
        accuracy_per_step=[0.1, 1.0],
    )
    worker.report(fence, "result", verdict)
    worker.end(fence)
    assert client.get(f"/v1/jobs/{job_id}/sanity").json()["passed"] is True


def test_files_are_deleted_without_the_job(client: httpx.Client, trained: str) -> None:
    path = f"{trained}/checkpoints/model.safetensors"
    size = client.get(trained).json()["bytes"]
    assert size == client.get(trained).json()["bytes_by_role"]["model"] > 0
    assert client.delete(trained, params={"files_only": True}).status_code == 204
    gone = client.get(path)
    assert (gone.status_code, gone.json()["code"]) == (410, "files-deleted")
    assert "by anyone" in gone.json()["detail"]
    job = client.get(trained).json()
    assert (job["state"], job["bytes"], job["files_deleted"]["bytes"]) == ("succeeded", 0, size)
    assert client.get(f"{trained}/checkpoints").json()["data"] == []
    assert client.get(f"{trained}/bundle").json()["files_deleted"] == job["files_deleted"]


def test_files_of_a_job_that_has_not_ended_stay(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()["id"]
    response = client.delete(f"/v1/jobs/{job}", params={"files_only": True})
    assert (response.status_code, response.json()["code"]) == (409, "wrong-state")
    assert "queued" in response.json()["detail"]


def test_checkpoints_are_listed_and_downloaded(client: httpx.Client, trained: str) -> None:
    files = client.get(f"{trained}/checkpoints").json()["data"]
    assert [(file["name"], file["role"], file["size"], file["epoch"]) for file in files] == [
        ("model.safetensors", "model", 2048, 3)
    ]
    response = client.get(f"{trained}/checkpoints/model.safetensors")
    assert response.content == bytes(range(256)) * 8
    assert response.headers["etag"] == f'"{files[0]["sha256"]}"'
    assert "model.safetensors" in response.headers["content-disposition"]
    assert client.get(f"{trained}/checkpoints/nothing").status_code == 404


@pytest.mark.parametrize(
    ("asked", "first", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=2000-", 2000, 2048), ("bytes=-48", 2000, 2048), ("bytes=2040-9999", 2040, 2048)],
)
def test_ranges_of_a_download(client: httpx.Client, trained: str, asked: str, first: int, stop: int) -> None:
    response = client.get(f"{trained}/checkpoints/model.safetensors", headers={"range": asked})
    assert response.status_code == 206
    assert response.content == (bytes(range(256)) * 8)[first:stop]
    assert response.headers["content-range"] == f"bytes {first}-{stop - 1}/2048"


def test_ranges_that_cannot_be_served(client: httpx.Client, trained: str) -> None:
    path = f"{trained}/checkpoints/model.safetensors"
    past = client.get(path, headers={"range": "bytes=2048-"})
    assert (past.status_code, past.headers["content-range"]) == (416, "bytes */2048")
    assert past.headers["content-type"] == "application/problem+json"
    assert client.get(path, headers={"range": f"bytes={'9' * 3000}-"}).status_code == 416
    assert client.get(path, headers={"range": f"bytes=0-{'9' * 3000}"}).status_code == 206
    for unread in ("bytes=²-".encode("latin-1"), b"bytes=" + b"9" * 5000 + b"-"):
        assert client.get(path, headers=[(b"range", unread)]).status_code == 200
    for odd in ("bytes=9-2", "lines=1-2", "bytes=-", "bytes=0-1,4-5"):
        assert client.get(path, headers={"range": odd}).status_code == 200
    etag = client.head(path).headers["etag"]
    assert client.get(path, headers={"if-none-match": etag}).status_code == 304
    assert client.get(path, headers={"range": "bytes=0-9", "if-range": etag}).status_code == 206
    assert client.get(path, headers={"range": "bytes=0-9", "if-range": '"other"'}).status_code == 200
    assert client.head(path).headers["content-length"] == "2048"


def test_the_bundle_of_a_run(client: httpx.Client, trained: str) -> None:
    bundle = client.get(f"{trained}/bundle").json()
    assert (bundle["dataset"]["hash"], bundle["seeds"]) == ("a" * 64, {"seed": 42})
    assert client.get("/v1/jobs/none/bundle").status_code == 404


def test_runs_are_compared_side_by_side(client: httpx.Client, worker: SimulatedWorker) -> None:
    first = submit(client, worker)
    second = client.post("/v1/jobs", json=LEAST | {"epochs": 3, "optimizer": {"lr": 0.01}}).json()["id"]
    comparison = client.get(f"/v1/compare?ids={first},{second}").json()
    assert [column["job"]["id"] for column in comparison["data"]] == [first, second]
    assert comparison["differences"] == {"epochs": [20, 3], "optimizer.lr": [0.001, 0.01]}
    assert client.get("/v1/compare?ids=,").json()["errors"][0]["pointer"] == "/query/ids"
