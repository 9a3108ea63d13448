"""Train and val curves compared, for the rules of overfitting (D5, D6, D7): how far val loss is past its minimum."""

from dataclasses import dataclass

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.statistics import changes, deviation, lowest, median_of_three
from service.reports.finding import Evidence


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """Losses in nats, accuracies 0 to 1, epochs counted from 1."""

    best_epoch: int
    """Of the smoothed val loss."""
    epochs_past: int
    lowest_val: float
    last_val: float
    noise: float
    """Median absolute deviation of the changes of val loss since its minimum."""
    clean_fall: float
    """Share by which the clean train loss has fallen since the best epoch."""
    loss_gap: float
    """Now: val loss - clean train loss."""
    accuracy_gap: float
    train_loss: float
    """Now: clean train loss."""
    recent_val: float
    """Val loss STANDING_EPOCHS ago."""
    recent_clean: float
    accuracy_lost: float
    """Best val accuracy - val accuracy now."""
    accuracy_error: float
    """Standard error of the val accuracy."""

    @property
    def rise(self) -> float:
        """Nats by which val loss is above its minimum."""
        return self.last_val - self.lowest_val

    @property
    def exceeds_indicators(self) -> bool:
        """Both overfitting alerts together: a loss gap over 0.5 and an accuracy gap over 10 points."""
        return self.loss_gap > t.LOSS_GAP and self.accuracy_gap > t.ACCURACY_GAP

    @property
    def is_standing(self) -> bool:
        """Train loss falls while val loss is flat, and both alerts hold."""
        return (
            self.exceeds_indicators
            and self.train_loss < (1 - t.CLEAN_FALL) * self.recent_clean
            and self.last_val > (1 - t.STANDING_CHANGE) * self.recent_val
        )

    @property
    def is_memorised(self) -> bool:
        """The train loss is practically 0, and both alerts hold."""
        return self.exceeds_indicators and self.train_loss < t.ZERO_TRAIN_LOSS

    @property
    def is_severe(self) -> bool:
        """Too much to be left to early stopping."""
        return self.rise > t.SEVERE_RISE * self.lowest_val and self.exceeds_indicators

    @property
    def is_onset(self) -> bool:
        """Val loss has risen by 5 % and more than noise for three epochs, while train loss fell."""
        return self._rises(t.ONSET_EPOCHS, t.ONSET_RISE)

    @property
    def is_confirmed(self) -> bool:
        """Val loss has risen by 10 % and more than noise for five epochs, while train loss fell."""
        return self._rises(t.RISING_EPOCHS, t.CONFIRMED_RISE)

    def _rises(self, epochs: int, share: float) -> bool:
        return (
            self.epochs_past >= epochs
            and self.rise > max(share * self.lowest_val, t.CONFIRMED_MADS * self.noise, t.ONSET_NATS)
            and self.clean_fall > t.CLEAN_FALL
            and self.loss_gap > t.CONFIRMED_GAP
        )

    @property
    def costs_accuracy(self) -> bool:
        """Val accuracy fell below its best by more than chance explains."""
        return self.accuracy_lost > self.accuracy_error

    def evidence(self) -> Evidence:
        """The numbers, by name."""
        return {
            "best_epoch": self.best_epoch,
            "epochs_past_best": self.epochs_past,
            "lowest_val_loss": self.lowest_val,
            "val_loss": self.last_val,
            "val_loss_rise_percent": 100 * self.rise / max(self.lowest_val, 1e-9),
            "loss_gap": self.loss_gap,
            "accuracy_gap_points": 100 * self.accuracy_gap,
            "train_loss": self.train_loss,
            "val_accuracy_lost_points": 100 * self.accuracy_lost,
            "val_accuracy_standard_error_points": 100 * self.accuracy_error,
        }


def compare_curves(record: RunRecord) -> CurveComparison | None:
    """The curves up to now; nothing below four epochs with train and val numbers."""
    val, clean = record.curve("val", "loss"), record.clean_loss()
    val_accuracy, clean_accuracy = record.curve("val", "accuracy"), record.clean_accuracy()
    if len(val) < 4 or not len(val) == len(clean) == len(val_accuracy) == len(clean_accuracy):
        return None
    smooth = median_of_three(val)
    best = lowest(smooth)
    last_val = min(smooth[-1], val[-1])
    best_accuracy = max(median_of_three(val_accuracy))
    return CurveComparison(
        best_epoch=record.epochs[best].number,
        epochs_past=len(val) - 1 - best,
        lowest_val=smooth[best],
        last_val=last_val,
        noise=deviation(changes(val[best:])),
        clean_fall=1 - clean[-1] / max(clean[best], 1e-9),
        loss_gap=last_val - clean[-1],
        accuracy_gap=clean_accuracy[-1] - val_accuracy[-1],
        train_loss=clean[-1],
        recent_val=smooth[max(0, len(smooth) - 1 - t.STANDING_EPOCHS)],
        recent_clean=clean[max(0, len(clean) - 1 - t.STANDING_EPOCHS)],
        accuracy_lost=best_accuracy - val_accuracy[-1],
        accuracy_error=record.accuracy_error(best_accuracy),
    )
