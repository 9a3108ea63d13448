"""What is wrong with a run, on what evidence, and what to submit next: pure rules over a run record.

Adding a rule is one file with a `RULE`, and one line here. A rule earlier in the tuple speaks first: what is wrong with
the set-up comes before what the curves say, which it distorts. A rule that outranks another explains it.
"""

from importlib import import_module

from service.diagnosis.rule import Rule


def _rule_of(name: str) -> Rule:
    rule: Rule = import_module(f"{__name__}.{name}").RULE
    return rule


RULES: tuple[Rule, ...] = tuple(
    _rule_of(name)
    for name in (
        "c01_checkup",
        "c02_not_shuffled",
        "d01_nonfinite",
        "d02_input_scale",
        "d03_pipeline_mismatch",
        "d04_double_softmax",
        "d05_overfit_onset",
        "d06_overfit_confirmed",
        "d07_miscalibrated",
        "d08_train_flat",
        "d09_lr_too_low",
        "d10_collapsed",
        "d11_oscillation",
        "d12_underfit_plateau",
        "d13_vanishing",
        "d14_exploding",
        "d15_dead_relu",
        "d16_suspicious_val",
        "c03_gpu_unused",
    )
)
