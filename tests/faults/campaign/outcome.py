"""What a job leaves in the store, without what no two runs share (times, ids, who ran it), to be compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from service.store import files, findings, jobs, metrics, reports
from service.store.session import Store
from service.store.tables import DatasetRow

Points = dict[str, list[tuple[int, float]]]
VOLATILE = frozenset({"seconds", "duration_seconds", "samples_per_second", "peak_memory_bytes", "resume", "runner"})
"""Fields of reports that measure time or memory, or say how the job came to its end."""
MEASURED = frozenset({"recommended", "reason", "lr"})
"""Fields of a batch-size report that follow from a measured speed."""


@dataclass(frozen=True)
class Outcome:
    """One ended job."""

    state: str
    points: Points
    """Every series: (step, value) in the order of the steps."""
    numbers: dict[str, Any]
    """Reports, hashes of the model or of the dataset's files, rules that fired."""


@dataclass(frozen=True)
class Difference:
    """How an outcome differs from the undisturbed one."""

    points_lost: int
    points_doubled: int
    unequal: list[str]
    """What differs, in words."""


def read_outcome(store: Store, job_id: str) -> Outcome:
    """The job's outcome as the store has it."""
    with store.read() as session:
        row = jobs.get(session, job_id)
        series = metrics.read(session, job_id)
        numbers = {f"report {name}": _stable(report, row.kind) for name, report in reports.of(session, job_id).items()}
        numbers["rules"] = sorted(rule for rule, finding in findings.by_rule(session, job_id).items() if finding.active)
        numbers["model"] = [file.sha256 for file in files.of(session, job_id, "model")]
        if row.kind == "import":
            dataset = session.execute(select(DatasetRow).where(DatasetRow.job_id == job_id)).scalar_one()
            numbers |= {"hash": dataset.hash, "dataset": dataset.state, "profile": _stable(dataset.profile, row.kind)}
            numbers["files"] = {file.name: file.sha256 for file in files.of(session, dataset.id)}
        points = {
            name: list(zip(columns["step"].tolist(), columns["value"].tolist(), strict=True))
            for name, columns in series.items()
        }
        return Outcome(row.state, points, numbers)


def _stable(value: Any, kind: str) -> Any:
    """The value without fields that no two runs share, at any depth."""
    left_out = VOLATILE | (MEASURED if kind == "batch-size" else frozenset())
    if isinstance(value, dict):
        return {name: _stable(part, kind) for name, part in value.items() if name not in left_out}
    return [_stable(part, kind) for part in value] if isinstance(value, list) else value


def compare(undisturbed: Outcome, outcome: Outcome) -> Difference:
    """Points that are missing or too many, and what else is not the same."""
    lost = doubled = 0
    unequal = []
    for name in sorted(undisturbed.points.keys() | outcome.points.keys()):
        expected, actual = undisturbed.points.get(name, []), outcome.points.get(name, [])
        steps = [step for step, _ in actual]
        lost += len({step for step, _ in expected} - set(steps))
        doubled += len(steps) - len(set(steps)) + len(set(steps) - {step for step, _ in expected})
        if repr(expected) != repr(actual):  # NaN equals itself here
            unequal.append(f"series {name}")
    unequal += [name for name in ("state",) if undisturbed.state != outcome.state]
    return Difference(lost, doubled, unequal + list(_unequal_numbers(undisturbed.numbers, outcome.numbers)))


def _unequal_numbers(expected: dict[str, Any], actual: dict[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        if repr(expected.get(name)) != repr(actual.get(name)):
            yield name
