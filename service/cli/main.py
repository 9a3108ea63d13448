"""The command line. `up`, `api`, `worker` and `migrate` start parts of the service; all else speaks HTTP to one."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from service.cli.backups import backup, restore
from service.cli.datasets import datasets
from service.cli.jobs import jobs_command, submit, watch_command
from service.cli.keys import keys
from service.cli.reproduce import reproduce
from service.embedded.watchdog import end_with_parent
from service.errors import SchemaError
from service.settings import Settings, load_settings

# Commands that start something import it themselves: those that speak HTTP start in less than half the time.

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
    from service.embedded.processes import EmbeddedService

    stopped = _until_signalled()
    with EmbeddedService(_settings(home=home, host=host, port=port)) as service:
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
    from service.api.http.bounded_headers import bounded_headers

    end_with_parent()
    settings = _settings(host=host, port=port)
    try:
        app = create_app(settings)
    except (SchemaError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded_headers(settings.header_seconds),
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


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
    from service.cli.demo import run_demo

    run_demo(home)


for command in (backup, restore, submit, watch_command, jobs_command, reproduce, datasets, keys):
    main.add_command(command)

if __name__ == "__main__":
    main()
