"""A small CNN on all of FashionMNIST: accurate within five epochs, and its reports are scikit-learn's."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.metrics import classification_report, confusion_matrix

from service.events import FileSaved, Reported
from service.reports.classification import ClassificationReport, ConfusionReport
from service.specs import JOB_SPEC
from service.specs.dataset import ImportSpec
from service.specs.train import TrainSpec
from worker.engine import models, run
from worker.engine.context import RunContext
from worker.importing.import_job import run_import

FILES = Path("/usr/share/datasets/fashion-mnist")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fashion-mnist-cnn.json"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FashionMNIST, imported by the engine from Debian's IDX files."""
    scratch = tmp_path_factory.mktemp("import")
    source = {"kind": "torchvision", "name": "FashionMNIST"}
    spec = ImportSpec.model_validate({"kind": "import", "dataset": "fashion", "source": source})
    events = list(run_import(spec, RunContext(scratch=scratch, data_roots=(FILES.parent,))))
    return next(event.path.parent for event in events if isinstance(event, FileSaved))


@pytest.mark.timeout(1200)
def test_cnn_reaches_91_percent_and_reports_what_scikit_learn_does(packed: Path, tmp_path: Path) -> None:
    spec = JOB_SPEC.validate_python(json.loads(EXAMPLE.read_text()))
    assert isinstance(spec, TrainSpec)
    assert spec.epochs <= 5
    events = list(run(spec, RunContext(scratch=tmp_path, dataset=packed, threads=1)))
    reports = {str(event.name): event.report for event in events if isinstance(event, Reported)}
    report, confusion = reports["report:test"], reports["confusion:test"]
    assert isinstance(report, ClassificationReport)
    assert isinstance(confusion, ConfusionReport)
    assert report.accuracy >= 0.91
    labels, predictions = _predictions(
        spec, next(e.path for e in events if isinstance(e, FileSaved) and e.role == "model")
    )
    assert confusion.matrix == confusion_matrix(labels, predictions).tolist()
    theirs = classification_report(labels, predictions, output_dict=True, zero_division=0)
    for number, row in enumerate(report.classes):
        expected = theirs[str(number)]
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"], expected["support"])
        )
    for ours, name in ((report.macro, "macro avg"), (report.weighted, "weighted avg")):
        expected = theirs[name]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"])
        )


def _predictions(spec: TrainSpec, model_file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What the model file says about the test images, read and normalised here, with none of the engine's data code."""
    with safe_open(model_file, "pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items()}
    model = models.build(spec.network, about["shape"], len(about["classes"]))
    model.load_state_dict(load_file(model_file))
    model.eval()
    images_NHW = _read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    mean, std = torch.tensor(about["mean"]), torch.tensor(about["std"])
    inputs = (torch.from_numpy(images_NHW.copy()).unsqueeze(1).float() / 255 - mean) / std
    with torch.inference_mode():
        predictions_N = torch.cat([model(batch).argmax(1) for batch in inputs.split(500)])
    return _read("t10k-labels-idx1-ubyte.gz", 8), predictions_N.numpy()


def _read(name: str, offset: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress((FILES / name).read_bytes()), np.uint8, offset=offset)
