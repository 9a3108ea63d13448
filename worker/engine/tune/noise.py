"""How much of the order among the best trials is noise, in sentences for the search's report."""

import math
import statistics
from collections.abc import Sequence

from worker.engine.tune.study import Study


def narrow_lead(study: Study, val_samples: int) -> list[str]:
    """Says so when the winner leads by less than the standard error that so few val samples leave."""
    ranked = study.ranked()
    if len(ranked) < 2 or study.spec.metric != "val/accuracy" or not val_samples:
        return []
    best, second = (float(trial.value or 0.0) for trial in ranked[:2])
    error = math.sqrt(max(best * (1 - best), 1 / val_samples) / val_samples)
    if best - second >= error:
        return []
    close = sum((trial.value or 0.0) > best - error for trial in ranked[1:])
    others = "1 other trial lies" if close == 1 else f"{close} other trials lie"
    return [
        f"{others} within one standard error ({error:.2g}, of {val_samples} val samples) of the best: "
        "the order among them is noise; `confirm_seeds` 2 measures it"
    ]


def seed_spread(study: Study, values: Sequence[float]) -> list[str]:
    """What the best configuration reached with several seeds, the search's own first."""
    if len(values) < 2:
        return []
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    first = study.spec.train.seed
    listed = ", ".join(f"{value:.4g}" for value in values)
    notes = [
        f"the best values with seeds {first} to {first + len(values) - 1}: {listed} (mean {mean:.4g}, standard "
        f"deviation {deviation:.2g})"
    ]
    least = study.sign * mean - deviation
    rivals = [trial for trial in study.ranked()[1:] if study.sign * (trial.value or 0.0) >= least]
    if rivals:
        numbers = ", ".join(str(trial.number) for trial in rivals[:5])
        notes.append(f"within seed noise of the winner: trial {numbers}")
    return notes
