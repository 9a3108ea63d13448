"""`trainwright submit`, `watch` and `jobs`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from service.api.http import yaml_text
from service.cli.client import Client, connect
from service.cli.terminal import findings_lines, table_of, watch


@click.command()
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--watch", "follow", is_flag=True, help="Follow the job to its end.")
@click.option("--dry-run", is_flag=True, help="Show the resolved spec, warnings and estimates only.")
def submit(spec: Path, follow: bool, dry_run: bool) -> None:
    """Submit a job spec from a JSON or YAML file."""
    client = connect()
    try:
        body = yaml_text.load(spec.read_text())  # JSON is YAML, and `1e-3` a number as it is to the API
    except (yaml_text.YamlTextError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{spec} is neither JSON nor YAML: {error}") from error
    if dry_run:
        click.echo(json.dumps(client.call("POST", "/v1/jobs", json=body, params={"dry_run": "true"}), indent=2))
        return
    job = client.post("/v1/jobs", body)
    click.echo(f"{job['id']}  {job['state']}  {client.url}/v1/jobs/{job['id']}")
    if follow:
        _follow(client, job["id"])


@click.command("watch")
@click.argument("job_id", metavar="ID")
def watch_command(job_id: str) -> None:
    """Follow a job to its end; exits 1 unless it succeeded."""
    _follow(connect(), job_id)


def _follow(client: Client, job_id: str) -> None:
    console = Console()
    job = watch(client, console, job_id)
    console.print(f"{job['state']}" + (f": {job['error']['detail']}" if job["error"] else ""))
    if job["kind"] == "train":
        for line in findings_lines(client.get(f"/v1/jobs/{job_id}/findings")):
            console.print(line, highlight=False)
    if job["result"]:
        console.print_json(data={key: value for key, value in job["result"].items() if not isinstance(value, list)})
    passed = (job["result"] or {}).get("passed", True)
    raise SystemExit(0 if job["state"] == "succeeded" and passed else 1)


@click.command("jobs")
@click.option("--state", help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--label", help="Only jobs with this label: KEY or KEY=VALUE.")
@click.option("--owner", help="Only jobs of the key with this name.")
@click.option("--limit", type=int, default=20, show_default=True)
def jobs_command(**filters: Any) -> None:
    """List jobs, the newest first."""
    page = connect().get("/v1/jobs", **{name: value for name, value in filters.items() if value is not None})
    table = table_of("id", "kind", "name", "state", "progress", "created")
    for job in page["data"]:
        cells = (job["kind"], job["name"] or "", job["state"], f"{job['progress']:.0%}", job["created_at"][:19])
        table.add_row(job["id"], *cells)
    Console().print(table)
