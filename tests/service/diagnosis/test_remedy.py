"""Remedies: the patch of each usual one."""

import dataclasses

from service.diagnosis.remedy import clipping, higher_lr, lower_lr, regularised, unrestrained
from service.diagnosis.rules import d06_overfit_confirmed
from service.resolution.patches import patched_spec
from tests.service.diagnosis.curves import Make


def test_scaling_starts_from_the_learning_rate_that_was_used(make_record: Make) -> None:
    assert lower_lr(make_record(spec={"optimizer": {"lr": 0.02}}), 10) == {"optimizer.lr": 0.002}
    assert lower_lr(make_record(), 10) == {"optimizer.lr": 1e-4}
    assert higher_lr(make_record(spec={"optimizer": {"lr": 1e-6}})) == {"optimizer.lr": 1e-5}


def test_a_rate_far_above_the_usual_goes_to_the_usual(make_record: Make) -> None:
    assert lower_lr(make_record(spec={"optimizer": {"name": "sgd", "lr": 30}}), 10) == {"optimizer.lr": 0.01}


def test_a_higher_rate_stops_at_the_usual(make_record: Make) -> None:
    assert higher_lr(make_record(spec={"optimizer": {"lr": 1e-5}}), 1000) == {"optimizer.lr": 1e-3}


def test_a_clip_that_is_tight_already_stays(make_record: Make) -> None:
    assert clipping(make_record(spec={"clip_norm": 0.5})) == {}
    assert clipping(make_record(spec={"clip_norm": None})) == {"clip_norm": 1.0}


def test_the_patch_of_a_finding_makes_a_valid_spec(make_record: Make) -> None:
    record = make_record(
        train=[0.8, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.008, 0.006],
        val=[0.9, 0.7, 0.62, 0.65, 0.70, 0.76, 0.82, 0.88, 0.95, 1.02],
        val_accuracy=[0.8] * 10,
        train_accuracy=[1.0] * 10,
        spec={"early_stopping": None},
    )
    finding = d06_overfit_confirmed.judge(record)
    assert finding is not None
    assert patched_spec(record.spec, finding.remedy.patch).early_stopping is not None


def test_against_overfitting_comes_whatever_the_spec_does_not_use_yet(make_record: Make) -> None:
    patch = regularised(make_record())
    assert patch["augment"] == [{"op": "affine", "degrees": 5.0, "translate": [0.05, 0.05], "shear": 0.0}]
    assert {"model.dropout", "optimizer.weight_decay", "loss.label_smoothing", "ema"} < patch.keys()
    assert "augment" not in unrestrained(make_record(spec={"augment": patch["augment"]}))
    used = {
        "model": {"family": "mlp", "dropout": 0.4},
        "optimizer": {"weight_decay": 0.1},
        "loss": {"label_smoothing": 0.1},
        "ema": {"decay": 0.99},
    }
    assert regularised(make_record(spec=used)).keys() == {"augment"}
    assert regularised(make_record(spec=used | {"augment": "standard"})) == {}


def test_short_epochs_get_smaller_batches_and_a_short_average(make_record: Make) -> None:
    record = make_record()
    assert record.epochs[0].step == 10
    patch = regularised(record)
    assert (patch["batch_size"], patch["ema"]) == (32, {"decay": 0.95})
    ragged = make_record(counts={"train": 1410, "val": 180, "test": 180})
    assert ragged.samples("train") == 44 * 32 + 2
    assert "batch_size" not in regularised(ragged)
    long = dataclasses.replace(record, epochs=tuple(dataclasses.replace(e, step=500 * e.number) for e in record.epochs))
    patch = regularised(long)
    assert "batch_size" not in patch
    assert patch["ema"] == {"decay": 0.998}
