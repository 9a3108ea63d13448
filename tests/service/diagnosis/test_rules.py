"""Each rule on literal curves: it speaks when it should, with its evidence, and keeps quiet when it should."""

import dataclasses
import math

import numpy as np
import pytest

from service.diagnosis.record import RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.remedy import lower_lr
from service.diagnosis.rules import (
    d01_nonfinite,
    d02_input_scale,
    d03_pipeline_mismatch,
    d04_double_softmax,
    d05_overfit_onset,
    d06_overfit_confirmed,
    d07_miscalibrated,
    d08_train_flat,
    d09_lr_too_low,
    d10_collapsed,
    d11_oscillation,
    d12_underfit_plateau,
)
from service.diagnosis.statistics import decimal
from service.reports.dataset import DatasetMeta
from service.resolution.defaults import filled
from service.specs.train import TrainSpec
from service.states import StopReason
from tests.service.diagnosis.curves import CHANCE, FLAT, MEMORISED, MEMORISED_ACCURACY, RISING, STEADY_ACCURACY, Make
from worker.engine.data.split_samples import Normalisation


def test_nonfinite_loss_names_the_step_and_the_last_finite_loss(make_record: Make) -> None:
    finding = d01_nonfinite.judge(make_record(series={"train/loss": [2.3, 40.0, math.nan, math.nan]}))
    assert finding is not None
    assert finding.severity == "critical"
    assert finding.step == 3
    assert finding.evidence["last_finite_loss"] == 40.0
    assert finding.remedy.patch["optimizer.lr"] == pytest.approx(1e-4)


def test_nonfinite_gradient_counts_but_not_under_fp16(make_record: Make) -> None:
    overflow = {"grad_norm/total": [1.0, math.inf, 1.0]}
    assert d01_nonfinite.judge(make_record(series=overflow)) is not None
    assert d01_nonfinite.judge(make_record(series=overflow, spec={"precision": "fp16"})) is None


def test_nonfinite_from_the_first_step_blames_the_data_not_the_learning_rate(make_record: Make) -> None:
    finding = d01_nonfinite.judge(make_record(series={"train/loss": [math.nan, math.nan]}))
    assert finding is not None
    assert finding.remedy.patch == {}
    assert "data" in finding.explanation


def test_a_diverged_run_is_nonfinite_even_when_no_value_was_kept(make_record: Make) -> None:
    assert d01_nonfinite.judge(make_record(stop_reason=StopReason.DIVERGED, ended=True)) is not None


@pytest.mark.parametrize(
    ("normalize", "mean", "std", "off"),
    [
        ("dataset", 0.3, 0.35, False),
        ("none", 0.28, 0.35, True),  # FashionMNIST on the 0-1 scale
        ("none", 110.0, 60.0, True),
        ("none", 0.1, 1.1, False),
        ("imagenet", 0.45, 0.25, False),
        ("imagenet", 0.05, 0.1, True),
    ],
)
def test_input_scale_judges_what_the_model_receives(
    make_record: Make, normalize: str, mean: float, std: float, off: bool
) -> None:
    record = make_record(mean=[mean], std=[std], spec={"preprocess": {"normalize": normalize}})
    finding = d02_input_scale.judge(record)
    assert (finding is not None) is off
    if finding:
        assert finding.remedy.patch == {"preprocess.normalize": "dataset"}


@pytest.mark.parametrize("normalize", ["dataset", "imagenet", "none"])
@pytest.mark.parametrize(("modality", "channels"), [("image", 1), ("image", 3), ("features", 3)])
def test_input_scale_knows_what_the_engine_makes_of_the_inputs(modality: str, channels: int, normalize: str) -> None:
    mean, std = [0.4, 0.5, 0.6][:channels], [0.1, 0.2, 0.3][:channels]
    shape = [8, 8, channels] if modality == "image" else [channels]
    facts = {"modality": modality, "classes": ["a"], "shape": shape, "counts": {}, "mean": mean, "std": std}
    meta = DatasetMeta.model_validate(facts)
    engines = Normalisation.of(meta, normalize)
    means, stds = d02_input_scale.received(meta, normalize)
    assert means == pytest.approx((np.array(mean) - engines.mean) / engines.std)
    assert stds == pytest.approx(np.array(std) / engines.std)


def test_input_scale_ignores_a_constant_feature(make_record: Make) -> None:
    assert (
        d02_input_scale.judge(make_record(mean=[0.0, 9.0], std=[1.0, 0.0], spec={"preprocess": {"normalize": "none"}}))
        is None
    )


def test_input_scale_lets_pretrained_networks_have_imagenet_statistics(make_record: Make) -> None:
    model = {"family": "torchvision", "arch": "resnet18", "weights": "IMAGENET1K_V1"}
    spec = {"model": model, "preprocess": {"normalize": "imagenet"}}
    assert d02_input_scale.judge(make_record(mean=[0.05], std=[0.1], spec=spec)) is None


def test_mismatch_is_seen_on_the_same_samples(make_record: Make) -> None:
    finding = d03_pipeline_mismatch.judge(make_record(probes={"val_pipeline_loss": [3.0] * 10}))
    assert finding is not None
    assert finding.evidence["difference_nats"] == pytest.approx(2.78)


def test_overfitting_is_not_a_mismatch(make_record: Make) -> None:
    record = make_record(train=MEMORISED, val=RISING, train_accuracy=MEMORISED_ACCURACY, val_accuracy=STEADY_ACCURACY)
    assert d03_pipeline_mismatch.judge(record) is None


def test_val_that_never_leaves_chance_is_other_data(make_record: Make) -> None:
    finding = d03_pipeline_mismatch.judge(
        make_record(val=[3.0, 4.0, 5.0, 6.0, 6.0, 7.0, 7.0, 7.0, 8.0, 8.0], val_accuracy=CHANCE)
    )
    assert finding is not None
    assert finding.evidence["guessing_loss"] == pytest.approx(math.log(10))


def test_probabilities_as_outputs_are_a_double_softmax(make_record: Make) -> None:
    finding = d04_double_softmax.judge(make_record(probes={"output_is_probability": [1.0] * 10}))
    assert finding is not None
    assert finding.evidence["least_reachable_loss"] == pytest.approx(1.461, abs=1e-3)
    assert d04_double_softmax.judge(make_record(probes={"output_is_probability": [0.0] * 10})) is None


def test_outputs_between_zero_and_one_are_a_squashed_output(make_record: Make) -> None:
    squashed = {"output_is_probability": [0.0] * 10, "output_min": [0.01] * 10, "output_max": [0.98] * 10}
    at_start = {"output_min": 0.4, "output_max": 0.6}
    assert d04_double_softmax.judge(make_record(probes=squashed, statistics=at_start)) is not None
    assert (
        d04_double_softmax.judge(make_record(probes=squashed, statistics={"output_min": -1.0, "output_max": 2.0}))
        is None
    )


def test_onset_speaks_three_epochs_past_the_minimum(make_record: Make) -> None:
    val = [1.2, 0.8, 0.6, 0.5, 0.45, 0.44, 0.46, 0.49, 0.51, 0.53]
    finding = d05_overfit_onset.judge(make_record(val=val))
    assert finding is not None
    assert finding.severity == "info"
    assert d05_overfit_onset.judge(make_record()) is None


def test_onset_ignores_the_noise_of_a_small_loss(make_record: Make) -> None:
    val = [0.2, 0.10, 0.07, 0.060, 0.062, 0.064, 0.066, 0.065, 0.066, 0.067]
    train = [0.2, 0.1, 0.05, 0.02, 0.01, 0.008, 0.006, 0.004, 0.003, 0.002]
    assert d05_overfit_onset.judge(make_record(train=train, val=val)) is None


def test_confirmed_overfitting_is_a_warning_with_a_regularising_patch(make_record: Make) -> None:
    record = make_record(
        train=MEMORISED,
        val=RISING,
        train_accuracy=MEMORISED_ACCURACY,
        val_accuracy=STEADY_ACCURACY,
        spec={"early_stopping": None},
    )
    finding = d06_overfit_confirmed.judge(record)
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.evidence["best_epoch"] == 3
    assert finding.evidence["accuracy_gap_points"] == pytest.approx(20)
    assert finding.remedy.patch.keys() >= {"early_stopping", "model.dropout", "optimizer.weight_decay"}
    assert d07_miscalibrated.judge(record) is None


def test_overfitting_that_early_stopping_takes_care_of_is_a_remark(make_record: Make) -> None:
    mild = [0.9, 0.7, 0.62, 0.63, 0.65, 0.67, 0.69, 0.71, 0.73, 0.75]
    runs = {
        val[-1]: make_record(train=MEMORISED, val=val, train_accuracy=MEMORISED_ACCURACY, val_accuracy=STEADY_ACCURACY)
        for val in (mild, RISING)
    }
    findings = {last: d06_overfit_confirmed.judge(record) for last, record in runs.items()}
    assert {last: finding.severity for last, finding in findings.items() if finding} == {0.75: "info", 1.02: "warning"}


def test_four_rising_epochs_do_not_confirm(make_record: Make) -> None:
    record = make_record(
        train=MEMORISED[:7],
        val=RISING[:7],
        train_accuracy=MEMORISED_ACCURACY[:7],
        val_accuracy=STEADY_ACCURACY[:7],
        spec={"early_stopping": None},
    )
    assert d06_overfit_confirmed.judge(record) is None


def test_a_rising_loss_with_steady_accuracy_and_small_gaps_is_miscalibration(make_record: Make) -> None:
    val = [0.5, 0.3, 0.20, 0.21, 0.22, 0.24, 0.26, 0.28, 0.30, 0.31]
    accuracy = [0.85, 0.9, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94]
    record = make_record(train=MEMORISED, val=val, train_accuracy=MEMORISED_ACCURACY, val_accuracy=accuracy)
    finding = d07_miscalibrated.judge(record)
    assert finding is not None
    assert finding.severity == "info"
    assert d06_overfit_confirmed.judge(record) is None


def test_a_flat_train_loss_near_guessing_is_no_learning(make_record: Make) -> None:
    assert d08_train_flat.judge(make_record(train=FLAT, val=FLAT)) is not None
    assert d08_train_flat.judge(make_record()) is None


def test_a_flat_loss_names_what_in_the_spec_is_the_likeliest_cause(make_record: Make) -> None:
    dropped = {"model": {"family": "mlp", "hidden": [64], "dropout": 0.9}}
    finding = d08_train_flat.judge(make_record(train=FLAT, val=FLAT, spec=dropped))
    assert finding is not None
    assert "dropout switches off 90 % of the units in every step" in finding.explanation
    unknown = d08_train_flat.judge(make_record(train=FLAT, val=FLAT))
    assert unknown is not None
    assert "is far off, or something is broken" in unknown.explanation


def test_small_numbers_are_written_without_an_exponent() -> None:
    assert [decimal(value) for value in (7.36e-5, 0.0049, 3.2, 41.3, 0.0)] == ["0.000074", "0.0049", "3.2", "41", "0"]


def test_two_epochs_are_not_enough_for_a_flat_curve(make_record: Make) -> None:
    assert d08_train_flat.judge(make_record(train=FLAT[:2], val=FLAT[:2])) is None


def test_a_high_plateau_after_learning_is_not_flat(make_record: Make) -> None:
    train = [1.9, 1.7, 1.62, 1.61, 1.60, 1.60, 1.60, 1.60, 1.60, 1.60]
    assert d08_train_flat.judge(make_record(train=train, val=train)) is None


def test_tiny_updates_mean_a_low_learning_rate(make_record: Make) -> None:
    finding = d09_lr_too_low.judge(make_record(train=FLAT, series={"update_ratio": [1e-6] * 50}))
    assert finding is not None
    assert finding.remedy.patch == {"optimizer.lr": 0.01}


def test_warmup_does_not_look_like_a_low_learning_rate(make_record: Make) -> None:
    warmup = [1e-3 * (i + 1) / 100 for i in range(100)]
    record = make_record(
        train=FLAT,
        series={"update_ratio": [lr * 0.5 for lr in warmup], "lr/group0": warmup},
        spec={"optimizer": {"lr": 1e-3}},
    )
    assert d09_lr_too_low.judge(record) is None


def test_a_model_that_has_learned_needs_no_larger_steps(make_record: Make) -> None:
    assert d09_lr_too_low.judge(make_record(series={"update_ratio": [1e-6] * 50})) is None


def test_flat_with_silent_gradients_is_a_collapse(make_record: Make) -> None:
    silent = {"grad/0.weight/norm": [0.9, 0.0, 0.0, 0.0, 0.0], "grad/3.weight/norm": [0.4, 0.1, 0.0, 0.0, 0.0]}
    finding = d10_collapsed.judge(make_record(train=FLAT, series=silent))
    assert finding is not None
    assert finding.evidence["share_of_silent_weight_gradients"] == 0.7
    assert finding.remedy.patch["optimizer.lr"] == pytest.approx(1e-4)


def test_gradients_that_never_lived_are_not_a_collapse(make_record: Make) -> None:
    silent = {"grad/0.weight/norm": [0.0] * 5, "grad/3.weight/norm": [0.0] * 5}
    assert d10_collapsed.judge(make_record(train=FLAT, series=silent)) is None


def test_a_loss_that_travels_far_and_arrives_nowhere_oscillates(make_record: Make) -> None:
    train = [1.0, 1.8, 0.9, 1.7, 1.1, 1.9, 0.8, 1.6, 1.0, 1.5]
    finding = d11_oscillation.judge(make_record(train=train, val=train))
    assert finding is not None
    assert finding.severity == "warning"
    assert d11_oscillation.judge(make_record()) is None


def test_worse_than_guessing_after_training_is_a_high_learning_rate(make_record: Make) -> None:
    train = [9.0, 7.0, 12.0, 5.0, 8.0, 6.0, 9.0, 5.0, 6.0, 5.5]
    finding = d11_oscillation.judge(make_record(train=train, val=train))
    assert finding is not None
    assert finding.severity == "critical"


def test_a_low_plateau_of_both_is_underfitting(make_record: Make) -> None:
    train, accuracy = [1.9, 1.7, *[1.6] * 8], [0.3, 0.4, *[0.42] * 8]
    record = make_record(
        train=train,
        val=train,
        train_accuracy=accuracy,
        val_accuracy=accuracy,
        spec={"model": {"family": "mlp", "hidden": [2]}},
    )
    finding = d12_underfit_plateau.judge(record)
    assert finding is not None
    assert finding.remedy.patch == {"model.hidden": [256, 128]} | {"model.batch_norm": True}


def test_an_honest_high_loss_is_not_underfitting(make_record: Make) -> None:
    train, accuracy = [1.5, 1.2, *[1.05] * 8], [0.6, 0.7, *[0.76] * 8]
    assert (
        d12_underfit_plateau.judge(make_record(train=train, val=train, train_accuracy=accuracy, val_accuracy=accuracy))
        is None
    )


def test_underfitting_by_dropout_takes_the_dropout_away(make_record: Make) -> None:
    train, accuracy = [2.2, 2.1, *[2.0] * 8], [0.15, 0.2, *[0.22] * 8]
    record = make_record(
        train=train,
        val=train,
        train_accuracy=accuracy,
        val_accuracy=accuracy,
        spec={"model": {"family": "mlp", "dropout": 0.95}},
    )
    finding = d12_underfit_plateau.judge(record)
    assert finding is not None
    assert finding.remedy.patch == {"model.dropout": 0.2}


def test_a_model_that_guesses_only_while_it_trains_is_overregularised(make_record: Make) -> None:
    epochs = [1.9, 1.8, *[1.65] * 8], [0.4, 0.6, *[0.72] * 8]
    record = make_record(
        train=epochs[0],
        val=epochs[0],
        train_accuracy=[0.14] * 10,
        val_accuracy=epochs[1],
        probes={"clean_accuracy": epochs[1]},
        spec={"model": {"family": "mlp", "dropout": 0.95}},
    )
    finding = d12_underfit_plateau.judge(record)
    assert finding is not None
    assert "14 % of the samples while it trains" in finding.explanation
    assert finding.remedy.patch == {"model.dropout": 0.2}


def test_a_plateau_of_far_too_large_steps_is_no_lack_of_capacity(make_record: Make) -> None:
    train, accuracy = [9e5, 8e4, *[2.4] * 8], [0.1, 0.12, *[0.14] * 8]
    record = make_record(
        train=train,
        val=train,
        train_accuracy=accuracy,
        val_accuracy=accuracy,
        spec={"optimizer": {"name": "adamw", "lr": 30}},
    )
    epochs = tuple(dataclasses.replace(epoch, lr=30.0) for epoch in record.epochs)
    finding = d12_underfit_plateau.judge(dataclasses.replace(record, epochs=epochs))
    assert finding is not None
    assert "far above the usual 0.001 of adamw" in finding.explanation
    assert finding.remedy.patch == {"optimizer.lr": 1e-3}
    assert "a lower learning rate" in finding.remedy.text


def test_the_usual_rate_in_words_and_remedies_is_the_one_that_a_spec_resolves_to(make_record: Make) -> None:
    spec = {"model": {"family": "torchvision", "arch": "vit_b_16"}, "optimizer": {"lr": 3}}
    train, accuracy = [9e5, 8e4, *[2.4] * 8], [0.1, 0.12, *[0.14] * 8]
    record = make_record(train=train, val=train, train_accuracy=accuracy, val_accuracy=accuracy, spec=spec)
    epochs = tuple(dataclasses.replace(epoch, lr=3.0) for epoch in record.epochs)
    finding = d12_underfit_plateau.judge(dataclasses.replace(record, epochs=epochs))
    assert finding is not None
    assert "far above the usual 0.0001 of adamw" in finding.explanation
    resolved = filled(TrainSpec.model_validate({"kind": "train", "dataset": "digits", "model": spec["model"]}))
    assert finding.remedy.patch == {"optimizer.lr": resolved.optimizer.lr} == lower_lr(record, 10)


def test_a_plateau_without_a_learning_rate_is_underfitting_even_when_it_is_not_low(make_record: Make) -> None:
    train, accuracy = [1.5, 1.1, *[0.99] * 8], [0.6, 0.7, *[0.74] * 8]
    record = make_record(train=train, val=train, train_accuracy=accuracy, val_accuracy=accuracy)
    assert d12_underfit_plateau.judge(record) is None
    gone = tuple(dataclasses.replace(epoch, lr=1e-3 * 0.02 ** (epoch.number - 1)) for epoch in record.epochs)
    finding = d12_underfit_plateau.judge(dataclasses.replace(record, epochs=gone))
    assert finding is not None
    assert "nothing is learned at 0" in finding.explanation
    assert finding.remedy.patch == {"schedule": {"name": "cosine"}}


def test_every_rule_keeps_quiet_on_a_healthy_run(make_record: Make) -> None:
    assert [rule.id for rule in RULES if rule.judge(make_record()) is not None] == []


def test_every_rule_keeps_quiet_on_an_empty_record(make_record: Make) -> None:
    empty = RunRecord(spec=make_record().spec)
    assert [rule.id for rule in RULES if rule.judge(empty) is not None] == []
