"""`make bench-diagnosis`: the suite on held-out models and seeds, written to `benchmarks/results/diagnosis.md`.

`--part development` runs the part that thresholds were tuned on; `--seeds N` a smaller one.
"""

import platform
import time
from pathlib import Path

import click

from benchmarks.diagnosis import cost, report
from benchmarks.diagnosis.cases import CONTROLS, DATASETS, FAULTS, SEEDS, models
from benchmarks.diagnosis.suite import CONTROL_SEEDS, ROUNDS, Seen, jobs, run_all

RESULTS = Path(__file__).resolve().parents[1] / "results"


@click.command()
@click.option("--part", type=click.Choice(sorted(SEEDS)), default="held-out")
@click.option("--seeds", type=int, default=None, help="Only so many of the part's seeds.")
@click.option("--processes", type=int, default=2)
@click.option("--cures/--no-cures", default=True, help="Apply the remedies and run again.")
def main(part: str, seeds: int | None, processes: int, cures: bool) -> None:
    """Runs the suite and prints its tables."""
    chosen = jobs(part, seeds=seeds)
    click.echo(f"{len(chosen)} runs of the {part} part on {processes} processes")
    started = time.monotonic()
    seen = run_all(chosen, cures=cures, processes=processes)
    page = _page(part, seeds or len(SEEDS[part]), seen, time.monotonic() - started)
    click.echo(page)
    if seeds is None and cures:
        RESULTS.mkdir(exist_ok=True)
        name = "diagnosis.md" if part == "held-out" else f"diagnosis-{part}.md"
        (RESULTS / name).write_text(page)


def _page(part: str, seeds: int, seen: list[Seen], seconds: float) -> str:
    measures = "\n".join(measure.row() for measure in [*report.measures(seen), *cost.measures()])
    return f"""# The diagnosis, judged by seeded faults ({part} models and seeds)

{len(FAULTS)} kinds of faults and {len(CONTROLS)} kinds of healthy runs x {len(models(part))} models
({"; ".join(models(part))}) x {len(DATASETS)} real datasets (scikit-learn's digits, a draw of FashionMNIST) x
{seeds} seeds ({CONTROL_SEEDS} for the healthy runs): each is a real training by the engine. `make bench-diagnosis`
makes this page; it took {seconds / 60:.0f} minutes here ({platform.machine()}, Python {platform.python_version()}).
Thresholds were tuned on the development models and seeds only. A mistake counts as found when a finding of severity
warning or critical bears one of the rules that name it; a healthy run counts as a false alarm with any such finding. A
remedy counts when, after at most {ROUNDS} applied patches, no finding that named the fault is left and validation
accuracy is higher than before (on 1,000 samples where a remedy is worth a point or two only, else on 300).
Inputs that were not normalised are given to networks without batch norm, which would make up for it.

| what | measured | target | | |
|---|---|---|---|---|
{measures}

## Other tools on the same runs

Their published definitions with default parameters, implemented in `benchmarks/diagnosis/rivals.py`. For them any alarm
on a faulty run counts, whatever it says; in the tables below only the right name counts.

{report.rival_table(seen)}

## Faults

`code` and `data` under "mended": no patch of the spec can help, the remedy tells what to change.

{report.fault_table(seen)}

## Rules

"Rightly": on a fault that the rule is expected to name. The rest are side effects of another fault, or false alarms.

{report.rule_table(seen)}

## Healthy runs

{report.control_table(seen)}
"""


if __name__ == "__main__":
    main()
