"""What is wrong with a run, on what evidence, and what to submit next: pure rules over a run record.

Adding a rule is one file with a `RULE`, and one line here. A rule earlier in the tuple speaks first; one that outranks
another explains it.
"""

from service.diagnosis import (
    c01_checkup,
    c02_not_shuffled,
    c03_gpu_unused,
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
    d13_vanishing,
    d14_exploding,
    d15_dead_relu,
    d16_suspicious_val,
)
from service.diagnosis.rule import Rule

RULES: tuple[Rule, ...] = (
    d01_nonfinite.RULE,
    d02_input_scale.RULE,
    d03_pipeline_mismatch.RULE,
    d04_double_softmax.RULE,
    d05_overfit_onset.RULE,
    d06_overfit_confirmed.RULE,
    d07_miscalibrated.RULE,
    d08_train_flat.RULE,
    d09_lr_too_low.RULE,
    d10_collapsed.RULE,
    d11_oscillation.RULE,
    d12_underfit_plateau.RULE,
    d13_vanishing.RULE,
    d14_exploding.RULE,
    d15_dead_relu.RULE,
    d16_suspicious_val.RULE,
    c01_checkup.RULE,
    c02_not_shuffled.RULE,
    c03_gpu_unused.RULE,
)
