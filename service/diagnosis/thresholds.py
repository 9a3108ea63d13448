"""Every number that a rule compares with, in one place. METHOD names the source; [dev] = tuned on development seeds."""

from typing import Final

# The chapter's quantitative indicators (section 2.1) and gradient limits (section 4.2).
LOSS_GAP: Final = 0.5
"""val loss - train loss above this is an overfitting alert."""
ACCURACY_GAP: Final = 0.10
"""train accuracy - val accuracy above this (10 points) is an overfitting alert."""
RISING_EPOCHS: Final = 5
"""Epochs past the minimum of val loss after which overfitting counts as confirmed."""
VANISHING_NORM: Final = 1e-7
EXPLODING_NORM: Final = 100.0

# C1 checkup
INITIAL_LOSS: Final = 10.0
"""Nats above ln K from which the starting weights themselves are wrong. [dev]"""

# D2 input_scale
INPUT_MEAN: Final = 0.5
INPUT_STD: Final = (0.5, 2.0)
INPUT_SAMPLES: Final = 500
"""Samples from which a mean and a standard deviation are certain; fewer lower the finding's confidence."""

# D3 pipeline_mismatch
PIPELINE_GAP: Final = 0.3
"""Nats between the same training samples through the validation and through the training pipeline."""
PIPELINE_EPOCHS: Final = 2
LEARNED: Final = 0.5
"""A clean train loss below this multiple of ln K shows that the model has learned."""
LEARNED_OVER_CHANCE: Final = 0.2
"""So does a clean train accuracy this far up from chance (0) to perfect (1). [dev]"""
WELL_LEARNED_OVER_CHANCE: Final = 0.5
UNLEARNED_OVER_CHANCE: Final = 0.15
"""Once train is well learned, val below this has learned next to nothing. [dev]"""
OTHER_DATA_EPOCHS: Final = 5
"""Epochs in which val accuracy never left chance while train accuracy did. [dev]"""

# D5, D6, D7 overfitting
ONSET_EPOCHS: Final = 3
ONSET_RISE: Final = 0.05
ONSET_NATS: Final = 0.03
"""Least absolute rise: 5 % of a loss of 0.05 is noise. [dev]"""
STANDING_EPOCHS: Final = 5
STANDING_CHANGE: Final = 0.02
"""Val loss that changes less over STANDING_EPOCHS is flat (`train falls, val flat`)."""
SEVERE_RISE: Final = 0.30
"""A rise that is worth a warning even where early stopping keeps the best weights. [dev]"""
ZERO_TRAIN_LOSS: Final = 0.05
"""Clean train loss that counts as 0 (the chapter: `severe overfitting`) together with both gaps. [dev]"""
CONFIRMED_RISE: Final = 0.10
CONFIRMED_MADS: Final = 3.0
CONFIRMED_GAP: Final = 0.1
CLEAN_FALL: Final = 0.02
"""Share by which the clean train loss must have fallen since the minimum of val loss."""

# D8 train_flat
FLAT_CHANGE: Final = 0.05
"""Of ln K: a smaller change of the clean train loss is no learning."""
FLAT_LEVEL: Final = 0.8
"""Of ln K: the clean train loss is still near guessing."""
FLAT_MIN_EPOCHS: Final = 3
FLAT_MIN_STEPS: Final = 30
"""Fewer optimizer steps say nothing about a flat curve. [dev]"""

# D9 lr_too_low
UPDATE_RATIO: Final = 5e-5
"""Median norm(dw) / norm(w) of the first steps, scaled to the full learning rate."""
USUAL_UPDATE_RATIO: Final = 1e-3
UPDATE_STEPS: Final = 50
UPDATE_MIN_SAMPLES: Final = 3

CHOKING_CLIP: Final = 0.01
"""A clip below this share of the gradient's median norm leaves next to nothing of it."""

# D10 collapsed
COLLAPSED_SHARE: Final = 0.5
"""Share of samples whose weight gradients are below VANISHING_NORM."""

# D11 oscillation
OSCILLATION_FACTOR: Final = 3.0
OSCILLATION_NATS: Final = 0.3
OSCILLATION_FLIPS: Final = 0.4
OSCILLATION_EPOCHS: Final = 5
WORSE_THAN_GUESSING: Final = 1.2
"""Multiple of ln K that the clean train loss exceeds when the steps are far too large."""

# D12 underfit_plateau
PLATEAU_EPOCHS: Final = 8
PLATEAU_SLOPE: Final = 0.01
"""Nats per epoch (as a share of ln K) that still count as standing still. [dev]"""
TARGET_ACCURACY: Final = 0.65
"""Train accuracy over chance, as a share of what is left above chance, that a plateau should have reached. [dev]"""
PLATEAU_GAP: Final = 0.10
"""Train accuracy - val accuracy beyond chance; METHOD says 5 points, small val splits need more. [dev]"""
LR_GONE: Final = 0.01
"""Share of the full learning rate below which a schedule no longer trains."""
LR_GONE_TARGET: Final = 0.9
"""Instead of TARGET_ACCURACY where the rate was gone in most epochs: the model had no chance to get there. [dev]"""
USUAL_DROPOUT: Final = 0.5
LARGEST_WEIGHT_DECAY: Final = 0.2
SMALL_WIDTH: Final = 32

# What remedies aim at
LEAST_DROPOUT: Final = 0.2
USUAL_SMOOTHING: Final = 0.1
LEAST_STEPS: Final = 20
"""Optimizer steps that an epoch should have (METHOD, batch size); a moving average of the weights spans as many."""
SMALL_BATCH: Final = 16
"""Batches below this are not made smaller."""
STRONG_WEIGHT_DECAY: Final = {"sgd": 5e-4, "adam": 1e-3, "adamw": 5e-2}
"""The upper ends of the chapter's ranges (section 2.3)."""

# D13 vanishing
VANISHING_SHARE: Final = 0.4
"""20 of the last 50 samples."""
VANISHING_WINDOW: Final = 50
VANISHING_SAMPLES: Final = 3
ALIVE_NORM: Final = 1e-5
"""A layer that gets such a gradient now and then is not cut off: a high dropout silences it by turns. [dev]"""
CONVERGED_LOSS: Final = 0.1
"""Of ln K: a model that has fitted its data has small gradients by right."""

# D14 exploding
EXPLODING_FACTOR: Final = 100.0
EXPLODING_SHARE: Final = 0.01
EXPLODING_HIGH_SHARE: Final = 0.1
EXPLODING_LEAP: Final = 5.0
EXPLODING_FLOOR: Final = 10.0
"""A norm below this is no explosion however calm the steps before were. [dev]"""

# D15 dead_relu
DEAD_SHARE: Final = 0.5

# D16 suspicious_val
ZERO_LOSS: Final = 1e-4
ZERO_EPOCH: Final = 2
VAL_ADVANTAGE: Final = 0.05
VAL_ADVANTAGE_ERRORS: Final = 3.0
"""Standard errors of the two accuracies' difference that chance explains. [dev]"""
PROBE_SAMPLES: Final = 256
"""Least samples of a clean probe."""
LEAKED_SHARE: Final = 0.02
"""Of the val and test samples: duplicates of training samples."""
