"""`trainwright reproduce`: runs a job's bundle again and compares the numbers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from service.cli.client import Client, connect
from service.cli.terminal import watch

MEASURED = frozenset({"seconds", "samples_per_second", "duration_seconds", "peak_memory_bytes"})
"""What differs from run to run whatever is computed."""
SHOWN = 10


@click.command()
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def reproduce(bundle: Path) -> None:
    """Run the job of a bundle (GET /v1/jobs/ID/bundle) again; exits 1 unless its numbers are equal."""
    client = connect()
    try:
        before = json.loads(bundle.read_text())
        spec, dataset_hash = before["spec"], before["dataset"]["hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{bundle} is not the bundle of a job that trained on a dataset: {error}") from error
    spec.get("train", spec)["dataset"] = _dataset_with(client, dataset_hash)
    job = client.post("/v1/jobs", spec | {"requires": []})
    if watch(client, Console(), job["id"])["state"] != "succeeded":
        raise click.ClickException(f"the job {job['id']} did not succeed: nothing can be compared")
    after = client.get(f"/v1/jobs/{job['id']}/bundle")
    for name in sorted(before["versions"].keys() | after["versions"].keys()):
        if before["versions"].get(name) != after["versions"].get(name):
            click.echo(f"{name}: {before['versions'].get(name)} then, {after['versions'].get(name)} now")
    if before["machine"] != after["machine"]:
        click.echo("the machine is another one")
    _compare(_numbers(before), _numbers(after), job["id"])


def _dataset_with(client: Client, dataset_hash: str) -> str:
    """Id of the ready dataset with this content."""
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/datasets", limit=500, **cursor)
        for row in page["data"]:
            if row["hash"] == dataset_hash and row["state"] == "ready":
                return str(row["id"])
        if page["next_cursor"] is None:
            raise click.ClickException(f"no dataset here has the hash {dataset_hash}; import the same data first")
        cursor = {"cursor": page["next_cursor"]}


def _compare(before: dict[str, Any], after: dict[str, Any], job_id: str) -> None:
    """Says whether all numbers are equal; exits 1 where they are not."""
    different = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if not different:
        click.echo(f"equal: all {len(before)} numbers of job {job_id} are those of the bundle")
        return
    for name in different[:SHOWN]:
        click.echo(f"{name}: {before.get(name)} then, {after.get(name)} now")
    click.echo(f"different: {len(different)} of {len(before)} numbers of job {job_id} are not those of the bundle")
    raise SystemExit(1)


def _numbers(bundle: dict[str, Any]) -> dict[str, Any]:
    """Every number that the run computed, by its path."""
    return dict(_leaves({"reports": bundle["reports"], "curves": bundle["curves"]}, ""))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        parts = node.items() if isinstance(node, dict) else enumerate(node)
        for name, part in parts:
            if name not in MEASURED:
                yield from _leaves(part, f"{path}/{name}")
    elif isinstance(node, int | float):
        yield path, node
