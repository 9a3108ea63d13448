"""From what was seen to a page of tables: recall, precision, first epoch, false alarms, rivals, remedies."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from benchmarks.diagnosis.cases import Control, Fault
from benchmarks.diagnosis.rivals import RIVALS
from benchmarks.diagnosis.suite import Seen
from benchmarks.measure import Measure
from service.diagnosis.registry import RULES


def mistakes(seen: Sequence[Seen]) -> list[tuple[Seen, frozenset[str]]]:
    """Each mistake that was made (a mixture makes several), with the rules that may name it."""
    return [(run, named) for run in seen if isinstance(run.job.case, Fault) for named in run.job.case.named_by]


def controls(seen: Sequence[Seen]) -> list[Seen]:
    """The healthy runs."""
    return [run for run in seen if isinstance(run.job.case, Control)]


def recall(seen: Sequence[Seen]) -> float:
    """Share of mistakes that a warning names."""
    made = mistakes(seen)
    return sum(bool(run.warnings & named) for run, named in made) / max(1, len(made))


def false_alarms(seen: Sequence[Seen]) -> float:
    """Share of healthy runs with any warning."""
    healthy = controls(seen)
    return sum(bool(run.warnings) for run in healthy) / max(1, len(healthy))


def cured(seen: Sequence[Seen]) -> tuple[int, int]:
    """Faulty runs that a patch can mend: how many were mended, of how many."""
    tried = [run for run in seen if isinstance(run.job.case, Fault) and run.job.case.remedy == "spec"]
    return sum(run.cure is not None and run.cure.worked for run in tried), len(tried)


def hardest(seen: Sequence[Seen]) -> tuple[float, str]:
    """The fault whose remedies mend the smallest share of its runs: that share, and its name."""
    shares = ((cured(runs), case.name) for case, runs in _by_case(seen))
    return min((worked / tried, name) for (worked, tried), name in shares if tried)


def measures(seen: Sequence[Seen]) -> list[Measure]:
    """The numbers that are held against targets."""
    worked, tried = cured(seen)
    least, name = hardest(seen)
    made, healthy = len(mistakes(seen)), len(controls(seen))
    return [
        Measure("recall over faults", recall(seen), 0.95, "", note=f"{made} mistakes"),
        Measure("healthy runs with a warning", false_alarms(seen), 0.03, "", at_least=False, note=f"{healthy} runs"),
        Measure("remedies that mend the run", worked / max(1, tried), 0.80, "", note=f"{worked} of {tried} runs"),
        Measure("the same, for the fault that is hardest to mend", least, 0.80, "", note=name),
    ]


def fault_table(seen: Sequence[Seen]) -> str:
    """Per fault: found, when, what was said, mended."""
    rows = ["| fault | from | found | first epoch (median) | warnings told | mended |", "|---|---|---|---|---|---|"]
    for case, runs in _by_case(seen):
        if not isinstance(case, Fault):
            continue
        made = [(run, named) for run in runs for named in case.named_by]
        found = sum(bool(run.warnings & named) for run, named in made)
        firsts = [
            min(e for r, e in run.first_epoch.items() if r in named)
            for run, named in made
            if named & run.first_epoch.keys()
        ]
        cures = [run.cure for run in runs if run.cure]
        mended = f"{sum(cure.worked for cure in cures)}/{len(runs)}" if case.remedy == "spec" else case.remedy
        told = ", ".join(f"{rule} {count}" for rule, count in _told(runs).items())
        first = f"{statistics.median(firsts):g}" if firsts else "-"
        rows.append(f"| {case.name} | {case.source} | {found}/{len(made)} | {first} | {told} | {mended} |")
    return "\n".join(rows)


def rule_table(seen: Sequence[Seen]) -> str:
    """Per rule: how often it warned, how often rightly, and on how many healthy runs."""
    rows = ["| rule | warned | rightly | precision | on healthy runs |", "|---|---|---|---|---|"]
    for rule in RULES:
        warned = [run for run in seen if rule.id in run.warnings]
        right = [run for run in warned if isinstance(run.job.case, Fault) and rule.id in _names(run.job.case)]
        healthy = sum(isinstance(run.job.case, Control) for run in warned)
        precision = f"{len(right) / len(warned):.2f}" if warned else "-"
        rows.append(f"| {rule.id} {rule.name} | {len(warned)} | {len(right)} | {precision} | {healthy} |")
    return "\n".join(rows)


def control_table(seen: Sequence[Seen]) -> str:
    """Per kind of healthy run: how many, how many with a warning, how many with a remark only."""
    rows = ["| healthy runs | number | with a warning | with a remark (`info`) |", "|---|---|---|---|"]
    for case, runs in _by_case(seen):
        if isinstance(case, Control):
            warned = sum(bool(run.warnings) for run in runs)
            remarked = sum(bool(run.remarks) and not run.warnings for run in runs)
            rows.append(f"| {case.name} | {len(runs)} | {warned} | {remarked} |")
    return "\n".join(rows)


def rival_table(seen: Sequence[Seen]) -> str:
    """Every tool on the same runs; for the others any alarm at all on a faulty run counts as found."""
    rows = ["| tool | faulty runs with an alarm | healthy runs with an alarm |", "|---|---|---|"]
    rows.append(_alarms("**Trainwright**, any warning", seen, {id(run) for run in seen if run.warnings}))
    for name in RIVALS:
        rows.append(_alarms(name, seen, {id(run) for run in seen if name in run.rivals}))
    return "\n".join(rows)


def _alarms(name: str, seen: Sequence[Seen], alarmed: set[int]) -> str:
    faulty, healthy = [run for run in seen if isinstance(run.job.case, Fault)], controls(seen)
    shares = [sum(id(run) in alarmed for run in runs) / max(1, len(runs)) for runs in (faulty, healthy)]
    return f"| {name} | {shares[0]:.2f} | {shares[1]:.2f} |"


def _names(case: Fault) -> frozenset[str]:
    return frozenset().union(*case.named_by)


def _told(runs: Sequence[Seen]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for run in runs:
        for rule in sorted(run.warnings):
            counts[rule] += 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _by_case(seen: Sequence[Seen]) -> list[tuple[Fault | Control, list[Seen]]]:
    by_case: dict[tuple[type, str], tuple[Fault | Control, list[Seen]]] = {}
    for run in seen:
        case = run.job.case
        by_case.setdefault((type(case), case.name), (case, []))[1].append(run)
    return list(by_case.values())
