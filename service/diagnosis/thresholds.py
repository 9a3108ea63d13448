"""Every number that a rule compares with, in one place, and in brackets where it comes from.

[practice]: a rule of thumb that courses and tools share. [statistics]: follows from what is compared. [measured]: tuned
on the development runs of `benchmarks/diagnosis`. [chosen]: set for these rules. The held-out runs judge all of them.
"""

from typing import Final

from service.catalog.hyperparameters import DROPOUT_RANGE

# Alerts that several rules share
LOSS_GAP: Final = 0.5  # val loss - train loss, in nats, above this is an overfitting alert. [practice]
ACCURACY_GAP: Final = 0.10  # train accuracy - val accuracy above this (10 points) is an overfitting alert. [practice]
RISING_EPOCHS: Final = 5  # Epochs past the minimum of val loss after which overfitting counts as confirmed. [practice]
VANISHING_NORM: Final = 1e-7  # A gradient's norm below this has vanished. [SageMaker Debugger, rule VanishingGradient]
EXPLODING_NORM: Final = 100.0  # A gradient's norm above this has exploded. [practice]

# C1 checkup
INITIAL_LOSS: Final = 10.0  # Nats above ln K from which the starting weights themselves are wrong. [measured]

# D2 input_scale
INPUT_MEAN: Final = 0.5  # Largest distance of a channel's mean from 0. [practice, after LeCun et al., 1998]
INPUT_STD: Final = (0.5, 2.0)  # Range of a channel's standard deviation around 1. [practice, after the same]
INPUT_SAMPLES: Final = 500  # They tell a mean to 0.05 of a standard deviation; fewer lower the confidence. [statistics]

# D3 pipeline_mismatch
PIPELINE_GAP: Final = 0.3  # Nats between the same samples through the validation and the training pipeline. [chosen]
PIPELINE_EPOCHS: Final = 2  # Epochs in a row with that gap. [chosen]
LEARNED: Final = 0.5  # A clean train loss below this multiple of ln K shows that the model has learned. [chosen]
LEARNED_OVER_CHANCE: Final = 0.2  # So does a clean train accuracy this far from chance (0) to perfect (1). [measured]
WELL_LEARNED_OVER_CHANCE: Final = 0.5  # From here on, train is well learned. [measured]
UNLEARNED_OVER_CHANCE: Final = 0.15  # With train well learned, val below this has learned next to nothing. [measured]
OTHER_DATA_EPOCHS: Final = 5  # Epochs in which val accuracy never left chance while train accuracy did. [measured]

# D5, D6, D7 overfitting
ONSET_EPOCHS: Final = 3  # Epochs past the minimum of val loss after which overfitting may begin. [chosen]
ONSET_RISE: Final = 0.05  # Share of the lowest val loss by which it has risen then. [chosen]
ONSET_NATS: Final = 0.03  # Least absolute rise: 5 % of a loss of 0.05 is noise. [measured]
STANDING_EPOCHS: Final = 5  # Epochs over which a val loss is looked at that stands still. [practice]
STANDING_CHANGE: Final = 0.02  # Val loss that falls by a smaller share over them is flat. [chosen]
SEVERE_RISE: Final = 0.30  # A rise that is worth a warning even where early stopping keeps the best weights. [measured]
ZERO_TRAIN_LOSS: Final = 0.05  # Clean train loss that counts as 0 where both alerts hold. [measured]
CONFIRMED_RISE: Final = 0.10  # Share of the lowest val loss by which it has risen once it is confirmed. [chosen]
CONFIRMED_MADS: Final = 3.0  # Median absolute deviations of the epochs' changes that are noise. [statistics]
CONFIRMED_GAP: Final = 0.1  # Least gap in nats between val loss and train loss. [chosen]
CLEAN_FALL: Final = 0.02  # Share by which the clean train loss has fallen since the minimum of val loss. [chosen]

# D8 train_flat
FLAT_CHANGE: Final = 0.05  # Of ln K: a smaller change of the clean train loss is no learning. [chosen]
FLAT_LEVEL: Final = 0.8  # Of ln K: the clean train loss is still near guessing. [chosen]
FLAT_MIN_EPOCHS: Final = 3  # Fewer epochs say nothing about a flat curve. [chosen]
FLAT_MIN_STEPS: Final = 30  # Nor do fewer optimizer steps. [measured]

# D9 lr_too_low
UPDATE_RATIO: Final = 5e-5  # Median norm(dw) / norm(w) of the first steps, scaled to the full learning rate. [chosen]
USUAL_UPDATE_RATIO: Final = 1e-3  # What it is in healthy runs. [Stanford CS231n, notes on the learning process]
UPDATE_STEPS: Final = 50  # Steps over which it is measured. [chosen]
UPDATE_MIN_SAMPLES: Final = 3  # Least number of measurements. [practice]
CHOKING_CLIP: Final = 0.01  # A clip below this share of the gradient's median norm leaves nothing of it. [chosen]

# D10 collapsed
COLLAPSED_SHARE: Final = 0.5  # Share of the recent gradients' norms that are below VANISHING_NORM. [chosen]

# D11 oscillation
OSCILLATION_FACTOR: Final = 3.0  # Multiple of its net change that a loss has travelled. [chosen]
OSCILLATION_NATS: Final = 0.3  # Nats that it has travelled beyond that. [chosen]
OSCILLATION_FLIPS: Final = 0.4  # Share of the changes that differ in sign from the one before. [chosen]
OSCILLATION_EPOCHS: Final = 5  # Fewer epochs show no pattern. [practice]
WORSE_THAN_GUESSING: Final = (
    1.2  # Multiple of ln K that the train loss exceeds when steps are far too large. [measured]
)

# D12 underfit_plateau
PLATEAU_EPOCHS: Final = 8  # Epochs over which the slope is taken. [chosen]
PLATEAU_SLOPE: Final = 0.01  # Nats per epoch (as a share of ln K) that still count as standing still. [measured]
TARGET_ACCURACY: Final = 0.65  # Train accuracy that a plateau should reach, from chance (0) to perfect (1). [measured]
PLATEAU_GAP: Final = 0.10  # Train accuracy - val accuracy beyond chance; a larger one is overfitting. [measured]
LR_GONE: Final = 0.01  # Share of the full learning rate below which a schedule no longer trains. [chosen]
LR_GONE_TARGET: Final = (
    0.9  # The same where the rate was gone in most epochs: it had no chance to get there. [measured]
)
USUAL_DROPOUT: Final = DROPOUT_RANGE[1]  # Dropout above this restrains a model. [Srivastava et al., 2014]
LARGEST_WEIGHT_DECAY: Final = 0.2  # So does weight decay above this. [chosen]
SMALL_WIDTH: Final = 32  # Units of a hidden layer below which a network may be too small. [practice]

# D13 vanishing
VANISHING_SHARE: Final = 0.4  # Share of a layer's recent gradients that have vanished: 20 of 50. [chosen]
VANISHING_WINDOW: Final = 50  # Measurements that count as recent. [chosen]
VANISHING_SAMPLES: Final = 3  # Least number of measurements. [practice]
ALIVE_NORM: Final = 1e-5  # A layer that gets this now and then is not cut off but silenced by dropout. [measured]
CONVERGED_LOSS: Final = 0.1  # Of ln K: a model that has fitted its data has small gradients by right. [chosen]

# D14 exploding
EXPLODING_FACTOR: Final = 100.0  # A norm this multiple of the median before it has exploded, too. [chosen]
EXPLODING_LEAP: Final = 5.0  # Least multiple of the median before it, for a norm above EXPLODING_NORM. [measured]
EXPLODING_FLOOR: Final = 10.0  # A norm below this is no explosion however calm the steps before were. [measured]
EXPLODING_SHARE: Final = 0.01  # Least share of steps that leap. [chosen]
EXPLODING_HIGH_SHARE: Final = 0.1  # Least share of steps above EXPLODING_NORM, leaps or not. [chosen]

# D15 dead_relu
DEAD_SHARE: Final = 0.5  # Share of a layer's units that are zero for every sample. [practice]

# D16 suspicious_val
ZERO_LOSS: Final = 1e-4  # A train loss that is practically 0. [chosen]
ZERO_EPOCH: Final = 2  # The epoch by which it is suspicious. [chosen]
VAL_ADVANTAGE: Final = 0.05  # Val accuracy - clean train accuracy above this (5 points) is suspicious. [chosen]
VAL_ADVANTAGE_ERRORS: Final = 3.0  # Standard errors of the accuracies' difference that chance explains. [statistics]
PROBE_SAMPLES: Final = 256  # Least samples of a clean probe: they know an accuracy to 3 points. [statistics]
LEAKED_SHARE: Final = 0.02  # Duplicates of training samples, as a share of the val and test samples. [chosen]

# What remedies aim at
LEAST_DROPOUT: Final = DROPOUT_RANGE[0]  # Against overfitting. [measured]
USUAL_SMOOTHING: Final = 0.1  # Label smoothing. [Szegedy et al., 2016]
LEAST_STEPS: Final = 20  # Steps that an epoch should have; a moving average of the weights spans as many. [practice]
SMALL_BATCH: Final = 16  # Batches below this are not made smaller. [practice]
STRONG_WEIGHT_DECAY: Final = {"sgd": 5e-4, "adam": 1e-3, "adamw": 5e-2}  # Ends of the usual ranges. [practice]
