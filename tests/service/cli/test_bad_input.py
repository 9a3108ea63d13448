"""Bad input over HTTP: refused with the field and the fix where that can be known, else the failed job says why."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.service.cli.service_process import ServiceProcess
from worker.engine.models import torchvision_models

ABSENT = "018f0000-0000-7000-8000-000000000000"
TRAIN: dict[str, Any] = {"kind": "train", "dataset": "digits", "epochs": 1}
LR = {"type": "float", "low": 1e-4, "high": 1e-2}


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """A service whose data root holds bad weights."""
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        root = Path(folder)
        save_file(torchvision_models.build("squeezenet1_1").state_dict(), root / "squeezenet.safetensors")
        torch.save({"conv1.0.weight": Bomb(root / "boom")}, root / "bomb.pth")
        with ServiceProcess(root, data_roots=str(root)) as running:
            yield running


def tune(train: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    base = {"dataset": "digits", "epochs": 1} | (train or {})
    return {"kind": "tune", "train": base, "search_space": {"optimizer.lr": LR}, "n_trials": 2} | fields


@pytest.mark.parametrize(
    ("spec", "pointer", "detail"),
    [
        (tune(search_space={}), "/search_space", "it is empty: give at least 1"),
        (tune(sampler="cmaes"), "/sampler", "use `auto`, `tpe` or `grid`"),
        (
            tune(search_space={"optimizer": {"type": "categorical", "choices": [None]}, "optimizer.lr": LR}),
            "/search_space/optimizer.lr",
            "`optimizer` is searched too",
        ),
        (
            tune(search_space={"batch_size": {"type": "categorical", "choices": []}}),
            "/search_space/batch_size/choices",
            "it is empty: give at least 1",
        ),
        (tune(search_space={"optimizer.lr": LR | {"low": 1}}), "/search_space/optimizer.lr", "low must not be above"),
        (tune(search_space={"optimizer.lr": LR | {"low": 0, "log": True}}), "/search_space/optimizer.lr", "above 0"),
        (tune(search_space={"optimzer.lr": LR}), "/search_space/optimzer.lr", "did you mean `optimizer.lr`?"),
        (
            tune(search_space={"batch_size": {"type": "categorical", "choices": [32, 10**6]}}),
            "/search_space/batch_size",
            "1000000 is not valid there",
        ),
        (
            tune(search_space={"model.hidden": {"type": "layers", "depth": [3, 1]}}),
            "/search_space/model.hidden",
            "depth must be [least, most]",
        ),
        (TRAIN | {"batch_size": 0}, "/batch_size", "greater than or equal to 1"),
        (TRAIN | {"batch_size": 10**9}, "/batch_size", "less than or equal to 65536"),
        (TRAIN | {"batch_size": 1}, "/batch_size", "batch norm needs at least 2 samples"),
        ({"kind": "lr-find", "dataset": "digits", "batch_size": 1}, "/batch_size", "batch norm needs"),
        (TRAIN | {"optimizer": {"lr": {"from_job": ABSENT}}}, "/optimizer/lr/from_job", f"there is no job {ABSENT}"),
        (TRAIN | {"batch_size": {"from_job": ABSENT}}, "/batch_size/from_job", "there is no job"),
        (tune(lr_find={"from_job": ABSENT}), "/lr_find/from_job", "there is no job"),
        (
            TRAIN | {"model": {"family": "torchvision", "weights": {"from_job": ABSENT}}},
            "/model/weights/from_job",
            "there is no job",
        ),
        (TRAIN | {"optimizer": {"lr": {}}}, "/optimizer/lr/from_job", "Field required"),
        (tune() | {"kind": "tune-runner", "study": ABSENT, "number": 2}, "/kind", "should be one of"),
    ],
)
def test_what_can_never_run_is_refused(
    service: ServiceProcess, spec: dict[str, Any], pointer: str, detail: str
) -> None:
    for question in ("", "?dry_run=true"):
        response = service.client.post(f"/v1/jobs{question}", json=spec)
        assert response.status_code == 422, response.text
        assert response.headers["content-type"] == "application/problem+json"
        (error,) = [error for error in response.json()["errors"] if error["pointer"] == pointer]
        assert detail in error["detail"]


def weights(service: ServiceProcess, name: str) -> dict[str, Any]:
    return {"family": "torchvision", "arch": "shufflenet_v2_x0_5", "weights": {"path": str(service.home / name)}}


@pytest.mark.parametrize(("path", "detail"), [("absent.pth", "there is no file"), ("/etc/passwd", "data root")])
def test_weights_that_no_worker_can_read_are_refused(service: ServiceProcess, path: str, detail: str) -> None:
    response = service.client.post("/v1/jobs", json=TRAIN | {"model": weights(service, path)})
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/model/weights/path"
    assert detail in error["detail"]


def test_what_only_the_run_can_know_fails_the_job_with_the_reason(service: ServiceProcess) -> None:
    tiny = {"family": "torchvision", "arch": "shufflenet_v2_x0_5"}
    expected = {
        service.submit(epochs=1, model=weights(service, "squeezenet.safetensors")): "holds weights of `squeezenet1_1`",
        service.submit(epochs=1, model=weights(service, "bomb.pth")): "it holds Python objects, which may run code",
        service.submit(epochs=1, model=tiny, batch_size=1): "batch norm needs at least 2 samples a step",
        service.submit(**tune({"model": weights(service, "bomb.pth")})): "it holds Python objects, which may run code",
    }
    for job_id, reason in expected.items():
        job = service.ended(job_id)
        assert job["state"] == "failed"
        error = job["error"]
        assert isinstance(error, dict)
        assert reason in error["detail"]
        assert error["code"] in ("weights-mismatch", "data-mismatch")
    assert not (service.home / "boom").exists()
