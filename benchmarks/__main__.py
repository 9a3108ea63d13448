"""`python -m benchmarks [NAME ...]`: runs the benchmarks, prints the table, writes `benchmarks/results/bench.md`."""

import importlib
import os
import platform
import time
from pathlib import Path

import click
import torch

NAMES = (
    "engine",
    "feature_cache",
    "lr_find",
    "latency",
    "drain",
    "tune",
    "store",
    "writes",
    "api",
    "duplicates",
    "import_speed",
)
RESULTS = Path(__file__).parent / "results" / "bench.md"
HEAD = "| what | measured | target | | note |\n|---|---|---|---|---|"


@click.command
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def main(names: tuple[str, ...]) -> None:
    """Runs the benchmarks of these NAMES, or all; the page of results is written only when all of them ran."""
    rows = []
    print(HEAD)
    for name in names or NAMES:
        for measure in importlib.import_module(f"benchmarks.{name}").measure():
            rows.append(measure.row())
            print(rows[-1], flush=True)
    if not names:
        versions = f"Python {platform.python_version()}, torch {torch.__version__}"
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {versions}"
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(
            f"# `make bench`\n\n{time.strftime('%Y-%m-%d')}, {machine}\n\n{HEAD}\n" + "\n".join(rows) + "\n"
        )


if __name__ == "__main__":
    main()
