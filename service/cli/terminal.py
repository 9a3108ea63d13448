"""A job on the terminal: a live bar with loss and accuracy, then what came of it."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.cli.client import Client


def watch(client: Client, console: Console, job_id: str) -> dict[str, Any]:
    """Follows a job to its end with a live bar; returns the job."""
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    job = client.get(f"/v1/jobs/{job_id}")
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(job["name"] or job["kind"], total=1.0, numbers=job["state"])
        for event in client.events(job_id):
            _show(bar, task, event)
        job = client.get(f"/v1/jobs/{job_id}")
        if job["state"] == "succeeded":
            bar.update(task, completed=1.0)
    return job


def _show(bar: Progress, task: Any, event: dict[str, Any]) -> None:
    data = event["data"]
    match event["type"]:
        case "progress":
            bar.update(task, completed=data["progress"])
        case "phase":
            bar.update(task, numbers=data["phase"])
        case "epoch":
            bar.update(task, numbers=_epoch(data))
        case "log" if data["level"] in ("warning", "error"):
            bar.console.print(f"[yellow]{data['level']}[/] {data['message']}", markup=True, highlight=False)
        case "finding" if data["change"] == "withdrawn":
            bar.console.print(f"[green]withdrawn[/] {data['rule']}: it no longer holds", highlight=False)
        case "finding":
            bar.console.print(f"[yellow]finding[/] {data.get('rule')}: {data.get('explanation', '')}", highlight=False)
        case _:
            pass


def _epoch(data: dict[str, Any]) -> str:
    def number(values: dict[str, Any], name: str) -> str:
        return "n/a" if values.get(name) is None else f"{values[name]:.3f}"

    train, val = data["train"], data["val"]
    return (
        f"epoch {data['epoch']}  loss {number(train, 'loss')}/{number(val, 'loss')}  "
        f"accuracy {number(train, 'accuracy')}/{number(val, 'accuracy')}  (train/val)"
    )


def confusion_table(report: dict[str, Any]) -> Table:
    """The confusion matrix: rows are true classes; right answers are green, wrong ones red."""
    table = Table(title=f"confusion matrix, {report['split']} (rows: true class)")
    table.add_column("")
    for label in report["labels"]:
        table.add_column(str(label)[:8], justify="right")
    for row, (label, counts) in enumerate(zip(report["labels"], report["matrix"], strict=True)):
        cells = [_cell(count, row == column) for column, count in enumerate(counts)]
        table.add_row(str(label)[:12], *cells)
    return table


def _cell(count: int, right: bool) -> str:
    if count == 0:
        return "[dim]·[/]"
    return f"[green]{count}[/]" if right else f"[red]{count}[/]"


def findings_lines(report: dict[str, Any]) -> list[str]:
    """The verdict, what is missing for a better one, and each finding that holds with its remedy."""
    lines = [f"diagnosis: {report['verdict']}", *(f"  missing: {words}" for words in report["missing"])]
    for finding in report["data"]:
        if not finding["active"]:
            continue
        lines.append(f"  {finding['severity']} {finding['rule']}: {finding['explanation']}")
        lines.append(f"    what to do: {finding['remedy']['text']}")
    return lines


def table_of(first: str, *others: str) -> Table:
    """An empty table whose first column, an id to copy, is never cut."""
    table = Table(box=None, header_style="bold")
    table.add_column(first, no_wrap=True, overflow="ignore")
    for name in others:
        table.add_column(name)
    return table
