"""D11: the losses go up and down instead of down: the learning rate is too high (common error 2)."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import clipping, lower_lr, unrestrained
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import changes, flips, margin
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The clean train loss travels far and arrives nowhere, or is worse than guessing."""
    losses = record.clean_loss()
    if len(losses) < t.FLAT_MIN_EPOCHS:
        return None
    above = min(losses[-t.FLAT_MIN_EPOCHS :]) > t.WORSE_THAN_GUESSING * record.guessing_loss
    return _finding(record, losses, above) if above or oscillates(losses) else None


def oscillates(losses: list[float]) -> bool:
    """The way travelled exceeds three times the net change plus 0.3 nats, with frequent turns."""
    if len(losses) < t.OSCILLATION_EPOCHS:
        return False
    way, net = travelled(losses)
    return way > t.OSCILLATION_FACTOR * net + t.OSCILLATION_NATS and flips(losses) > t.OSCILLATION_FLIPS


def travelled(losses: list[float]) -> tuple[float, float]:
    """The sum of all changes regardless of sign, and the net change."""
    return sum(map(abs, changes(losses))), abs(losses[-1] - losses[0])


def _finding(record: RunRecord, losses: list[float], above: bool) -> Finding:
    way, net = travelled(losses)
    last = record.epochs[-1]
    return Finding(
        rule="D11",
        severity="critical" if above else "warning",
        confidence=0.9 if above else margin(way, t.OSCILLATION_FACTOR * net + t.OSCILLATION_NATS),
        epoch=last.number,
        step=last.step,
        evidence={
            "way_travelled_nats": way,
            "net_change_nats": net,
            "share_of_turns": flips(losses),
            "train_loss": losses[-1],
            "guessing_loss": record.guessing_loss,
            "learning_rate": record.lr,
        },
        explanation=_words(record, losses, way, net, above),
        remedy=Remedy(
            text=(
                f"Divide the learning rate by {10 if above else 3}, and let it rise over the first steps (warmup). "
                "`lr-find` shows where the loss stops falling."
            ),
            patch=lower_lr(record, 10 if above else 3) | clipping(record) | _warmup(record) | unrestrained(record),
        ),
    )


def _words(record: RunRecord, losses: list[float], way: float, net: float, above: bool) -> str:
    if above:
        return (
            f"After {len(losses)} epochs the model does worse than guessing: training loss {losses[-1]:.3g}, "
            f"guessing gives {record.guessing_loss:.3g}. Each step overshoots, because the learning rate "
            f"({record.lr:.2g}) is too high."
        )
    return (
        f"The loss goes up and down instead of down: over {len(losses)} epochs it moved by {way:.2g} in all and ended "
        f"only {net:.2g} from where it began. The learning rate ({record.lr:.2g}) is too high: the steps jump over the "
        "minimum, from one side of the valley to the other."
    )


def _warmup(record: RunRecord) -> dict[str, float]:
    return {} if record.spec.schedule.warmup >= 0.05 else {"schedule.warmup": 0.1}


RULE = Rule("D11", "oscillation", judge, ("epochs",), ("D5", "D6", "D7", "D8", "D12", "D16"))
