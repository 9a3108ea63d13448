"""A small part of the benchmark: each fault and some healthy runs, trained on digits by the real engine."""

import pytest

from benchmarks.diagnosis.cases import (
    CONTROLS,
    DEVELOPMENT,
    FAULTS,
    Control,
    Fault,
    applies,
    control_setup,
    fault_setup,
)
from benchmarks.diagnosis.runs import execute
from benchmarks.diagnosis.suite import Job, Seen, cure, look

MODEL = DEVELOPMENT["mlp, plain"]
HEALTHY = ("default", "small data", "modest label noise", "imbalanced", "sgd", "strong dropout", "two classes", "tanh")


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """Every fault and the healthy kinds once, on one model and one seed."""
    faults = [fault for fault in FAULTS if applies(fault.only, MODEL)]
    controls = [control for control in CONTROLS if control.name in HEALTHY]
    return [
        *(look(Job(fault, "mlp", fault_setup(fault, MODEL, "digits", 1))) for fault in faults),
        *(look(Job(control, "mlp", control_setup(control, MODEL, "digits", 1))) for control in controls),
    ]


def test_nearly_every_fault_is_named(seen: list[Seen]) -> None:
    made = [(each, named) for each in seen if isinstance(each.job.case, Fault) for named in each.job.case.named_by]
    missed = [each.job.case.name for each, named in made if not each.warnings & named]
    assert len(made) >= 40
    assert len(missed) <= 0.05 * len(made), missed


def test_healthy_runs_get_no_warning(seen: list[Seen]) -> None:
    warned = {
        each.job.case.name: each.warnings for each in seen if isinstance(each.job.case, Control) and each.warnings
    }
    assert warned == {}


def test_what_was_told_live_stands_at_the_end_for_clear_faults(seen: list[Seen]) -> None:
    clear = [
        each for each in seen if each.job.case.name in ("sgd lr 30", "adamw lr 1e-7", "softmax before cross entropy")
    ]
    assert len(clear) == 3
    for each in clear:
        assert each.warnings & each.first_epoch.keys()
        assert min(each.first_epoch.values()) <= 5


def test_the_remedy_of_a_learning_rate_far_too_high_mends_the_run() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "adamw lr 3")
    setup = fault_setup(fault, MODEL, "digits", 1)
    mended = cure(fault, setup, execute(setup))
    assert mended is not None
    assert mended.worked
    assert mended.after > 0.8
