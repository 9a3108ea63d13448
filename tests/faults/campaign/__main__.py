"""`python -m tests.faults.campaign [--trials N]`: random faults on both homes, and the table of what they cost.

Without `--trials`: each fault once on one of the homes, both homes at once, in about three minutes. With it: the long
form, one trial after another, which goes on where its journal ends and writes `benchmarks/results/faults.md`. The exit
code is 1 when anything was lost.
"""

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Process
from pathlib import Path

from tests.faults.campaign import trial
from tests.faults.campaign.faults import FAULTS, KILL_DATABASE, Fault
from tests.faults.campaign.homes import HOMES, DeployedHome, Home, running
from tests.faults.campaign.journal import Journal, Trial, table
from tests.faults.campaign.work import import_digits
from tests.worker.attempt.processes import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "faults.md"
JOURNAL = ROOT / ".faults" / "journal.jsonl"
Planned = tuple[int, type[Home], Fault, bool]


def main() -> int:
    """Runs what is missing of the plan; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves no process and no volume behind
    for name in [name for name in os.environ if name.startswith("TRAINWRIGHT_")]:
        del os.environ[name]
    arguments = _arguments()
    deadline = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        journal = Journal(arguments.journal if arguments.trials else Path(folder) / "journal.jsonl")
        planned = [
            entry
            for entry in (plan(arguments.trials) if arguments.trials else short_plan())
            if _is_selected(entry, arguments)
        ]
        done = {ended.number for ended in journal.trials}
        missing = [[entry for entry in planned if entry[1] is kind and entry[0] not in done] for kind in HOMES]
        homes = [Process(target=run_home, args=(entries, journal, deadline)) for entries in missing if entries]
        have_ended = run_processes(homes, at_once=not arguments.trials)
        trials = Journal(journal.path).trials
    print(table(trials))
    if arguments.trials:
        write_results(trials)
    return 0 if have_ended and all(ended.is_clean for ended in trials) else 1


def run_processes(processes: Sequence[Process], *, at_once: bool) -> bool:
    """Runs each to its end, at once or one after another; returns whether all of them ended well."""
    started: list[Process] = []
    try:
        for process in processes:
            process.start()
            started.append(process)
            if not at_once:
                process.join()
        for process in started:
            process.join()
    except SystemExit:
        for process in started:
            process.terminate()
            process.join()
        raise
    return all(process.exitcode == 0 for process in processes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--trials", type=int, help="number of trials of the long form")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after this time")
    parser.add_argument("--journal", type=Path, default=JOURNAL, help="where the long form goes on")
    parser.add_argument("--only", default="", help="only faults whose `home: fault` contains this")
    return parser.parse_args()


def plan(count: int) -> Iterator[Planned]:
    """Trials by number: every fault on every home in turn, half of them after the first checkpoint."""
    for number, (fault, kind) in zip(range(count), itertools.cycle(itertools.product(FAULTS, HOMES)), strict=False):
        round_, place = divmod(number, len(FAULTS) * len(HOMES))
        yield number, kind, fault, (round_ + sum(divmod(place, len(HOMES)))) % 2 == 1


def short_plan() -> Iterator[Planned]:
    """Every fault once, on the homes in turn, every second one of a home after the first checkpoint."""
    for number, fault in enumerate(FAULTS):
        kind = DeployedHome if fault is KILL_DATABASE else HOMES[number % len(HOMES)]
        yield number, kind, fault, number // len(HOMES) % 2 == 1


def _is_selected(entry: Planned, arguments: argparse.Namespace) -> bool:
    _, kind, fault, _ = entry
    return arguments.only in f"{kind.name}: {fault.name}"


def run_home(missing: Sequence[Planned], journal: Journal, deadline: float) -> None:
    """The trials of one home; after one that lost something, the rest go on in a fresh one."""
    left = list(missing)
    while left and time.monotonic() < deadline:
        folder = Path(tempfile.mkdtemp(prefix="tw-"))
        folder.chmod(0o711)  # PostgreSQL runs as another user
        with running(left[0][1], folder) as home:
            import_digits(home)
            expected = trial.undisturbed(home)
            while left and time.monotonic() < deadline:
                number, _, fault, after_checkpoint = left.pop(0)
                if not fault.is_possible(home):
                    print(f"{number:4d}  {home.name}: {fault.name}: skipped, it is not possible here", flush=True)
                    continue
                ended = trial.run(home, fault, number, _version(), expected, after_checkpoint=after_checkpoint)
                journal.add(ended)
                print(_line(ended), flush=True)
                if not ended.is_clean:
                    journal.path.with_name(f"trial-{number}.log").write_text(home.logs())
                    break
        shutil.rmtree(folder, ignore_errors=True)


def _line(ended: Trial) -> str:
    verdict = "clean" if ended.is_clean else f"LOST {ended}"
    return f"{ended.number:4d}  {ended.home}: {ended.fault}: {verdict} ({ended.seconds:.1f} s)"


def _version() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def write_results(trials: Sequence[Trial]) -> None:
    """The table with its date and the versions of the program that were disturbed."""
    versions = ", ".join(dict.fromkeys(ended.version for ended in trials))
    jobs, late = sum(ended.jobs for ended in trials), sum(ended.after_checkpoint for ended in trials)
    head = (
        f"# `make faults TRIALS={len(trials)}`\n\n{time.strftime('%Y-%m-%d')}, commits {versions}: "
        f"{len(trials)} trials with {jobs} jobs; {late} of the faults came after the training's first checkpoint. "
        "What the columns mean: docs/operations.md.\n\n"
    )
    RESULTS.write_text(head + table(trials) + "\n")


if __name__ == "__main__":
    sys.exit(main())
