"""The rules of layers, splits and set-up on literal curves (D13 and on, C1 to C3)."""

from service.diagnosis.rules import (
    c01_checkup,
    c02_not_shuffled,
    c03_gpu_unused,
    d13_vanishing,
    d14_exploding,
    d15_dead_relu,
    d16_suspicious_val,
)
from service.reports.result import Check
from tests.service.diagnosis.curves import FLAT, MEMORISED, Make


def test_vanishing_names_the_layer_and_leaves_biases_out(make_record: Make) -> None:
    finding = d13_vanishing.judge(
        make_record(
            train=FLAT,
            series={"grad/0.weight/norm": [1e-9] * 20},
            spec={"model": {"family": "mlp", "activation": "sigmoid"}},
        )
    )
    assert finding is not None
    assert finding.evidence["layers"] == ["0.weight"]
    assert finding.remedy.patch == {"model.activation": "relu"}


def test_a_layer_that_dropout_silences_by_turns_is_not_vanishing(make_record: Make) -> None:
    by_turns = {"grad/0.weight/norm": [0.0, 0.3] * 10}
    assert d13_vanishing.judge(make_record(train=FLAT, series=by_turns)) is None


def test_a_fitted_model_may_have_tiny_gradients(make_record: Make) -> None:
    assert d13_vanishing.judge(make_record(train=MEMORISED, series={"grad/0.weight/norm": [1e-9] * 20})) is None


def test_gradients_over_a_hundred_explode(make_record: Make) -> None:
    finding = d14_exploding.judge(make_record(series={"grad_norm/total": [2.0] * 90 + [150.0, 300.0] * 5}))
    assert finding is not None
    assert finding.evidence["largest_gradient_norm"] == 300.0


def test_a_network_whose_norm_is_always_near_a_hundred_does_not_explode(make_record: Make) -> None:
    norms = [60.0, 45.0, 80.0, 55.0, 101.0, 50.0, 62.0, 48.0, 70.0, 58.0, 66.0] * 9
    assert d14_exploding.judge(make_record(series={"grad_norm/total": norms})) is None


def test_one_spike_is_no_explosion(make_record: Make) -> None:
    assert d14_exploding.judge(make_record(series={"grad_norm/total": [2.0] * 99 + [150.0]})) is None


def test_a_calm_fitted_model_with_a_misfit_batch_does_not_explode(make_record: Make) -> None:
    assert d14_exploding.judge(make_record(series={"grad_norm/total": [1e-3] * 90 + [0.5] * 10})) is None


def test_mostly_dead_units_are_found(make_record: Make) -> None:
    assert d15_dead_relu.judge(make_record(probes={"dead_relu_share": [0.2] * 5 + [0.8] * 5})) is not None
    assert d15_dead_relu.judge(make_record(probes={"dead_relu_share": [0.1] * 10})) is None


def test_samples_shared_by_the_splits_are_leakage(make_record: Make) -> None:
    finding = d16_suspicious_val.judge(make_record(shared=60))
    assert finding is not None
    assert finding.evidence["duplicates_across_splits"] == 60
    assert d16_suspicious_val.judge(make_record(shared=3)) is None


def test_zero_loss_by_the_second_epoch_is_too_good(make_record: Make) -> None:
    train = [1e-3, 1e-6, *[1e-7] * 8]
    assert d16_suspicious_val.judge(make_record(train=train, train_accuracy=[1.0] * 10)) is not None


def test_val_better_than_train_beyond_chance_is_suspicious(make_record: Make) -> None:
    better = [0.97] * 10
    assert d16_suspicious_val.judge(make_record(train_accuracy=[0.8] * 10, val_accuracy=better)) is not None
    tiny = {"train": 100, "val": 20, "test": 20}
    assert d16_suspicious_val.judge(make_record(train_accuracy=[0.92] * 10, val_accuracy=better, counts=tiny)) is None
    few = {"train": 1437, "val": 180, "test": 180}
    unsure = make_record(train_accuracy=[0.31] * 10, val_accuracy=[0.42] * 10, counts=few)
    assert d16_suspicious_val.judge(unsure) is None


def test_a_failed_check_is_a_finding_with_its_words(make_record: Make) -> None:
    failed = Check(name="gradients", passed=False, detail="`0.weight` receives no gradient")
    finding = c01_checkup.judge(make_record(checks=[failed]))
    assert finding is not None
    assert "receives no gradient" in finding.explanation
    assert c01_checkup.judge(make_record(checks=[failed.model_copy(update={"passed": True})])) is None


def test_no_shuffle_is_told(make_record: Make) -> None:
    finding = c02_not_shuffled.judge(make_record(spec={"shuffle": False}))
    assert finding is not None
    assert finding.remedy.patch == {"shuffle": True}


def test_an_unused_gpu_is_told(make_record: Make) -> None:
    idle = {"gpu_available": 1.0, "device": "cpu"}
    assert c03_gpu_unused.judge(make_record(statistics=idle, spec={"device": "cpu"})) is not None
    assert c03_gpu_unused.judge(make_record(statistics={"gpu_available": 0.0, "device": "cpu"})) is None
