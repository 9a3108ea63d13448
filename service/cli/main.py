"""The command line. `up`, `api`, `worker` and `migrate` start parts of the service; all else speaks HTTP to one."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from service.cli.client import Client
from service.cli.demo import run_demo
from service.cli.embedded import Embedded
from service.cli.watching import findings_lines, watch
from service.errors import SchemaError
from service.settings import Settings, load_settings
from service.watchdog import end_with_parent

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@click.group()
@click.version_option(package_name="trainwright")
def main() -> None:
    """Training as a service: submit a spec, get a trained network and a diagnosis."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _settings(**given: Any) -> Settings:
    """The environment's settings with the command line's on top; they reach child processes through the environment."""
    for name, value in given.items():
        if value is not None:
            os.environ[f"TRAINWRIGHT_{name.upper()}"] = str(value)
    return load_settings()


@main.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder of database, artifacts and logs.")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000).")
def up(home: Path | None, host: str | None, port: int | None) -> None:
    """Start API, worker and broker together and keep them running."""
    stopped = _until_signalled()
    with Embedded(_settings(home=home, host=host, port=port)) as service:
        click.echo(f"Trainwright is up.\n  dashboard  {service.url}/\n  docs page  {service.url}/docs")
        click.echo(f"  home       {service.settings.home} (logs: api.log, worker.log)\nCtrl-C stops it.")
        service.run(stopped)
        click.echo("stopping: running jobs write a checkpoint and go on at the next start")


def _until_signalled() -> Callable[[], bool]:
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: received.append(got))
    return lambda: bool(received)


@main.command()
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000).")
def api(host: str | None, port: int | None) -> None:
    """Start the HTTP API alone."""
    import uvicorn

    from service.api.app import create_app

    end_with_parent()
    settings = _settings(host=host, port=port)
    try:
        app = create_app(settings)
    except (SchemaError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=5)


@main.command()
def worker() -> None:
    """Start a worker alone (needs the `worker` extra)."""
    os.execv(sys.executable, [sys.executable, "-m", "worker"])


@main.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from service.store.migrate import upgrade
    from service.store.session import Store

    store = Store(load_settings())
    upgrade(store.engine)
    store.close()
    click.echo("the database schema is current")


@main.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder to work in (default: a temporary one).")
def demo(home: Path | None) -> None:
    """Start a service, train on real data over its HTTP API, print what came out, stop it."""
    run_demo(home)


@main.command()
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--watch", "follow", is_flag=True, help="Follow the job to its end.")
@click.option("--dry-run", is_flag=True, help="Show the resolved spec, warnings and estimates only.")
def submit(spec: Path, follow: bool, dry_run: bool) -> None:
    """Submit a job spec from a JSON or YAML file."""
    client = Client()
    try:
        body = yaml.safe_load(spec.read_text())  # JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{spec} is neither JSON nor YAML: {error}") from error
    if dry_run:
        click.echo(json.dumps(client.call("POST", "/v1/jobs", json=body, params={"dry_run": "true"}), indent=2))
        return
    job = client.post("/v1/jobs", body)
    click.echo(f"{job['id']}  {job['state']}  {client.url}/v1/jobs/{job['id']}")
    if follow:
        _follow(client, job["id"])


@main.command("watch")
@click.argument("job_id", metavar="ID")
def watch_command(job_id: str) -> None:
    """Follow a job to its end; exits 1 unless it succeeded."""
    _follow(Client(), job_id)


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


@main.command("jobs")
@click.option("--state", help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--label", help="Only jobs with this label: KEY or KEY=VALUE.")
@click.option("--limit", type=int, default=20, show_default=True)
def jobs_command(**filters: Any) -> None:
    """List jobs, the newest first."""
    page = Client().get("/v1/jobs", **{name: value for name, value in filters.items() if value is not None})
    table = Table("id", "kind", "name", "state", "progress", "created")
    for job in page["data"]:
        cells = (job["kind"], job["name"] or "", job["state"], f"{job['progress']:.0%}", job["created_at"][:19])
        table.add_row(job["id"], *cells)
    Console().print(table)


@main.group()
def datasets() -> None:
    """Import and list datasets."""


@datasets.command("import")
@click.argument("source")
@click.option("--name", help="Name of the dataset (default: the source's).")
@click.option("--label-column", help="The label's column in a CSV.")
@click.option("--drop-corrupt", is_flag=True, help="Leave unreadable files out instead of failing.")
def import_command(source: str, name: str | None, label_column: str | None, drop_corrupt: bool) -> None:
    """Import `digits`, a torchvision name (FashionMNIST), a file to upload, or a folder under a data root."""
    client = Client()
    options = {"label_column": label_column, "drop_corrupt": drop_corrupt}
    name = name or Path(source).name.split(".")[0] or source
    if Path(source).is_file():
        with Path(source).open("rb") as file:
            fields = {"name": name, "options": json.dumps(options)}
            row = client.call(
                "POST", "/v1/datasets", data=fields, files={"file": (Path(source).name, file)}, timeout=None
            )
    else:
        row = client.post("/v1/datasets", {"name": name, "source": _source(source) | {"options": options}})
    with Console().status(f"importing {name}"):
        ready = client.wait(f"/v1/datasets/{row['id']}", frozenset({"ready", "failed"}))
    if ready["state"] == "failed":
        raise click.ClickException(f"the import failed: {ready['error']['detail']}")
    click.echo(f"{ready['id']}  {ready['name']}  {ready['counts']}  {len(ready['classes'])} classes")


def _source(source: str) -> dict[str, str]:
    if source == "digits":
        return {"kind": "builtin", "name": "digits"}
    if "/" in source or source.startswith("."):
        return {"kind": "path", "path": str(Path(source).absolute())}
    return {"kind": "torchvision", "name": source}


@datasets.command("list")
def list_datasets() -> None:
    """List datasets, the newest first."""
    table = Table("id", "name", "state", "classes", "samples")
    for row in Client().get("/v1/datasets")["data"]:
        table.add_row(row["id"], row["name"], row["state"], str(len(row["classes"])), str(sum(row["counts"].values())))
    Console().print(table)


@main.group()
def keys() -> None:
    """Create, list and revoke API keys (needs a key with the scope admin)."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "train", "admin"]), default="train", show_default=True)
def create_key(name: str, scope: str) -> None:
    """Make a key; it is shown this once."""
    click.echo(Client().post("/v1/keys", {"name": name, "scope": scope})["key"])


@keys.command("list")
def list_keys() -> None:
    """List keys."""
    table = Table("id", "name", "scope", "created", "revoked")
    for key in Client().get("/v1/keys")["data"]:
        table.add_row(key["id"], key["name"], key["scope"], key["created_at"][:19], (key["revoked_at"] or "")[:19])
    Console().print(table)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Make a key useless from now on."""
    Client().call("DELETE", f"/v1/keys/{key_id}")
    click.echo(f"{key_id} is revoked")


if __name__ == "__main__":
    main()
