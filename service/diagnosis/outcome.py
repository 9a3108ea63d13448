"""Whether a remedy helped, in words: what became of the finding, and of the best validation accuracy."""

from service.states import JobState, is_terminal


def in_words(rule: str, state: JobState, gone: bool | None, before: float | None, after: float | None) -> str:
    """One or two sentences for a person; accuracies are shares, `gone` is None where nothing could be judged."""
    if not is_terminal(state):
        return f"The follow-up job is {state}; whether it helps is told when it has ended."
    if state is not JobState.SUCCEEDED or gone is None:
        return f"The follow-up job ended as {state}, so it cannot be said whether the change helps."
    finding = f"{rule} is no longer found" if gone else f"{rule} is still found"
    if before is None or after is None:
        reached = "" if after is None else f", and validation accuracy reached {100 * after:.1f} %"
        return f"{'It helped' if gone else 'It did not help'}: {finding}{reached}."
    moved = _moved(before, after)
    if gone and after > before:
        return f"It helped: {finding}, and the best validation accuracy {moved}."
    if gone:
        return f"It helped only in part: {finding}, but the best validation accuracy {moved}."
    return f"It did not help: {finding}. The best validation accuracy {moved}."


def _moved(before: float, after: float) -> str:
    points = 100 * (after - before)
    if abs(points) < 0.05:
        return f"stayed at {100 * after:.1f} %"
    way = "rose" if points > 0 else "fell"
    return f"{way} by {abs(points):.1f} points, from {100 * before:.1f} to {100 * after:.1f} %"
