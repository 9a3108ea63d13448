"""D13: the gradients of some layers vanish."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord, median
from service.diagnosis.remedy import normalising_layers
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """A matrix with a gradient norm under 1e-7 in 40 % of its last 50 samples, while the output layer gets one."""
    losses = record.clean_loss()
    if losses and losses[-1] < t.CONVERGED_LOSS * record.guessing_loss:
        return None
    gradients = record.weight_gradients()
    shares = {name: _share(series.values) for name, series in gradients.items()}
    silent = {name: share for name, share in shares.items() if share > t.VANISHING_SHARE}
    if not silent or list(shares)[-1] in silent:
        return None
    name = next(iter(silent))
    typical = median(list(gradients[name].last(t.VANISHING_WINDOW).values))
    patch = normalising_layers(record)
    return Finding(
        rule="D13",
        severity="warning",
        confidence=round(0.5 + 0.49 * silent[name], 2),
        epoch=record.epochs[-1].number if record.epochs else None,
        step=record.steps,
        evidence={
            "layers": list(silent),
            "median_gradient_norm": typical,
            "threshold": t.VANISHING_NORM,
            "share_of_samples": silent[name],
            "layers_in_all": len(gradients),
        },
        explanation=(
            f"The gradients vanish: {len(silent)} of {len(gradients)} layers, first `{name}`, receive a gradient "
            f"with a norm of about {typical or 0:.1g} (below 1e-7). The gradient says how to change the weights; "
            "where it is zero the layer keeps its random starting values and learns nothing. Sigmoid and tanh in "
            "deep networks and poor starting weights shrink it from layer to layer."
        ),
        remedy=Remedy(
            text=(
                "Use ReLU (or LeakyReLU), He initialisation (starting weights that keep the signal's size) and batch "
                "norm (it rescales each layer); for very deep networks one with skip connections, such as resnet18."
            ),
            patch=patch,
        ),
    )


def _share(norms: tuple[float, ...]) -> float:
    recent = norms[-t.VANISHING_WINDOW :]
    if len(recent) < t.VANISHING_SAMPLES or max(recent) > t.ALIVE_NORM:
        return 0.0
    return sum(norm < t.VANISHING_NORM for norm in recent) / len(recent)


RULE = Rule("D13", "vanishing", judge, ("gradients",), ("D8", "D12", "D9"))
