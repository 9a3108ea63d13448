"""Every rule, in the order in which they speak.

A rule earlier in the tuple speaks first: what is wrong with the set-up comes before what the curves say, which it
distorts. A rule that outranks another explains it.
"""

from service.diagnosis.rule import Rule
from service.diagnosis.rules import (
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

RULES: tuple[Rule, ...] = (
    c01_checkup.RULE,
    c02_not_shuffled.RULE,
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
    c03_gpu_unused.RULE,
)
