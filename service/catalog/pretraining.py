"""Which transfer mode suits how many training samples."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModeAdvice:
    """Which transfer mode suits how many training samples."""

    min_samples: int
    max_samples: int | None
    mode: str
    why: str


MODE_ADVICE: tuple[ModeAdvice, ...] = (
    ModeAdvice(
        0, 1000, "feature_extraction", "few samples: train the new head alone, or the network learns them by heart"
    ),
    ModeAdvice(1000, 10_000, "partial", "enough for the last stage and the head; the early layers are general anyway"),
    ModeAdvice(10_000, None, "full", "enough to adapt every layer, with a small learning rate for the backbone"),
)


def recommended_mode(train_samples: int) -> ModeAdvice:
    """The transfer mode that suits so many training samples (the chapter's table)."""
    return next(a for a in MODE_ADVICE if a.max_samples is None or train_samples < a.max_samples)
