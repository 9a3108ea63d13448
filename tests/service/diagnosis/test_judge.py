"""The verdict: what is told, what is left out because something else explains it, and what is missing."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

import service.diagnosis
from service.diagnosis.common_errors import COMMON_ERRORS
from service.diagnosis.judge import diagnose, hopeless, is_worse
from service.diagnosis.record import RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.rule import Rule
from tests.service.diagnosis.curves import FLAT, Make


def test_a_healthy_run_has_no_findings(make_record: Make) -> None:
    verdict = diagnose(make_record())
    assert (verdict.verdict, verdict.findings, verdict.missing) == ("healthy", (), ())


def test_two_epochs_are_not_enough_evidence(make_record: Make) -> None:
    verdict = diagnose(make_record(train=[1.0, 0.8], val=[1.0, 0.8]))
    assert verdict.verdict == "not enough evidence"
    assert verdict.missing == ("at least 3 epochs (2 so far)",)


def test_probes_that_were_switched_off_are_named(make_record: Make) -> None:
    record = make_record(spec={"diagnose": False})
    blind = dataclasses.replace(record, epochs=tuple(dataclasses.replace(epoch, probes={}) for epoch in record.epochs))
    verdict = diagnose(blind)
    assert verdict.verdict == "not enough evidence"
    assert "clean probes (`diagnose` is off in the spec)" in verdict.missing


def test_findings_stand_even_when_something_is_missing(make_record: Make) -> None:
    verdict = diagnose(make_record(train=[1.0], val=[1.0], series={"train/loss": [2.3, math.nan]}))
    assert verdict.verdict == "findings"
    assert [finding.rule for finding in verdict.findings] == ["D1"]


@pytest.mark.parametrize("part", ["epochs", "validation", "probes", "steps", "gradients", "checkup", "profile"])
def test_what_is_missing_is_named_and_rules_that_need_it_are_not_asked(part: str, make_record: Make) -> None:
    record = without(part, make_record())
    asked: list[str] = []

    def judge(_: RunRecord) -> None:
        asked.append("asked")

    needy = Rule("D90", "needy", judge, needs=(part,))  # type: ignore[arg-type]
    free = Rule("D91", "free", judge)
    verdict = diagnose(record, (needy, free))
    assert asked == ["asked"]
    assert len(verdict.missing) == 1
    assert diagnose(record, (free,)).missing == ()
    assert {name for rule in RULES for name in rule.needs} >= {part}
    assert verdict.missing[0] in diagnose(record).missing


def without(part: str, record: RunRecord) -> RunRecord:
    """The record as if one part of it had not been recorded."""
    changes: dict[str, dict[str, Any]] = {
        "epochs": {"epochs": record.epochs[:2]},
        "validation": {"epochs": tuple(dataclasses.replace(epoch, val={}) for epoch in record.epochs)},
        "probes": {"epochs": tuple(dataclasses.replace(epoch, probes={}) for epoch in record.epochs)},
        "steps": {"series": {name: s for name, s in record.series.items() if name != "train/loss"}},
        "gradients": {"series": {name: s for name, s in record.series.items() if not name.startswith("grad/")}},
        "checkup": {"checkup": None},
        "profile": {"profile": None},
    }
    return dataclasses.replace(record, **changes[part])


def test_a_collapse_explains_a_flat_loss(make_record: Make) -> None:
    silent = {"grad/0.weight/norm": [0.9, *[0.0] * 9], "grad/3.weight/norm": [0.4, *[0.0] * 9]}
    findings = diagnose(make_record(train=FLAT, val=FLAT, series=silent)).findings
    assert [(finding.rule, finding.name) for finding in findings] == [("D10", "collapsed")]


def test_a_mismatch_is_not_told_as_overfitting(make_record: Make) -> None:
    rising = [2.0, 2.1, 2.3, 2.6, 2.9, 3.1, 3.4, 3.6, 3.9, 4.0]
    record = make_record(
        val=rising, val_accuracy=[0.3] * 10, probes={"val_pipeline_loss": rising}, spec={"early_stopping": None}
    )
    assert [finding.rule for finding in diagnose(record).findings] == ["D3"]


def test_hopeless_runs_are_those_that_diverged_or_collapsed(make_record: Make) -> None:
    silent = {"grad/0.weight/norm": [0.9, *[0.0] * 9], "grad/3.weight/norm": [0.4, *[0.0] * 9]}
    collapsed = hopeless(make_record(train=FLAT, val=FLAT, series=silent))
    diverged = hopeless(make_record(series={"train/loss": [2.3, math.inf]}))
    assert collapsed is not None
    assert diverged is not None
    assert (collapsed.rule, diverged.rule) == ("D10", "D1")
    assert hopeless(make_record(train=FLAT, val=FLAT)) is None


def test_a_run_without_any_gradient_is_hopeless_from_its_first_epoch_on(make_record: Make) -> None:
    """Trials of a search record the gradient's total norm at each step, and nothing of single layers."""
    series = {"grad_norm/total": [1.5, *[0.0] * 9], "grad/0.weight/norm": [], "grad/3.weight/norm": []}
    finding = hopeless(make_record(train=FLAT[:1], val=FLAT[:1], series=series))
    assert finding is not None
    assert finding.rule == "D10"
    assert hopeless(make_record(train=[0.01], val=[0.01], series=series)) is None


def test_a_finding_is_worse_by_severity_or_by_clearly_more_confidence(make_record: Make) -> None:
    finding = diagnose(make_record(spec={"shuffle": False})).findings[0]
    assert is_worse(finding.model_copy(update={"severity": "critical"}), finding)
    assert is_worse(finding, finding.model_copy(update={"confidence": finding.confidence - 0.2}))
    assert not is_worse(finding.model_copy(update={"confidence": finding.confidence + 0.05}), finding)


def test_every_rule_file_is_registered_once() -> None:
    folder = Path(service.diagnosis.__file__ or "").parent / "rules"
    files = {path.stem for path in folder.glob("[cd][0-9][0-9]_*.py")}
    assert len({rule.id for rule in RULES}) == len(RULES) == len(files)
    assert {f"{rule.id[0].lower()}{int(rule.id[1:]):02d}" for rule in RULES} == {name[:3] for name in files}


def test_outranked_rules_exist() -> None:
    ids = {rule.id for rule in RULES}
    assert {each for rule in RULES for each in rule.outranks} <= ids


def test_all_fourteen_errors_are_caught_somewhere() -> None:
    assert [error.number for error in COMMON_ERRORS] == list(range(1, 15))
    assert {each for error in COMMON_ERRORS for each in error.rules} <= {rule.id for rule in RULES}


def test_explanations_are_sentences_for_a_beginner(make_record: Make) -> None:
    rising = [0.9, 0.7, 0.62, 0.65, 0.70, 0.76, 0.82, 0.88, 0.95, 1.02]
    record = make_record(
        train=[0.8, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.008, 0.006],
        val=rising,
        val_accuracy=[0.8] * 10,
        train_accuracy=[1.0] * 10,
        spec={"shuffle": False, "preprocess": {"normalize": "none"}, "early_stopping": None},
    )
    findings = diagnose(record).findings
    assert {finding.rule for finding in findings} == {"D2", "D6", "C2"}
    for finding in findings:
        assert len(finding.explanation.split()) >= 25
        assert re.search(r"\d", str(finding.evidence))
        assert finding.remedy.text.endswith(".")


def test_the_documentation_says_where_each_of_the_fourteen_errors_is_caught() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "diagnosis.md").read_text()
    for error in COMMON_ERRORS:
        assert f"| {error.number} | {error.error} | {error.caught} | {error.where} |" in page
