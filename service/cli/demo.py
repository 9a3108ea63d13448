"""`trainwright demo`: the whole service once, on real data, over its HTTP API."""

import os
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from service.cli.client import Client
from service.cli.terminal import confusion_table, findings_lines, watch
from service.embedded.processes import EmbeddedService, free_port
from service.settings import Settings


def run_demo(home: Path | None) -> None:
    """Starts a service, imports `digits`, runs sanity, lr-find and train, prints what came out, stops everything."""
    console = Console()
    _clear_settings()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a demo that is ended ends what it started
    with tempfile.TemporaryDirectory(prefix="tw-", ignore_cleanup_errors=True) as temporary:
        settings = Settings(home=home or Path(temporary), port=free_port())
        with ExitStack() as stack:
            with console.status("starting broker, API and worker"):
                service = stack.enter_context(EmbeddedService(settings))
            _print(console, f"the service is up: {service.url}\nhome:      {settings.home}")
            _demonstrate(console, stack.enter_context(Client(service.url)))
            _print(console, "stopping broker, API and worker")


def _clear_settings() -> None:
    """The demo is a service of its own: it must not use the database, broker or keys that the environment names."""
    for name in [name for name in os.environ if name.startswith("TRAINWRIGHT_")]:
        del os.environ[name]


def _print(console: Console, text: str) -> None:
    """A line as it is: not wrapped, not coloured."""
    console.print(text, soft_wrap=True, highlight=False)


def _demonstrate(console: Console, client: Client) -> None:
    dataset = _dataset(client)
    _print(console, f"dataset [bold]digits[/]: {dataset['counts']}")
    sanity = _run(console, client, {"kind": "sanity", "name": "sanity", "dataset": "digits"})
    result = sanity["result"]
    _print(
        console,
        f"sanity: {'passed' if result['passed'] else 'FAILED'} (accuracy {result['accuracy']:.3f} on one batch)",
    )
    lr_find = _run(console, client, {"kind": "lr-find", "name": "lr-find", "dataset": "digits"})
    curve = client.get(f"/v1/jobs/{lr_find['id']}/lr-curve")
    recommended = "none" if curve["suggested"] is None else f"{curve['suggested']:.2e}"
    _print(console, f"recommended lr: {recommended} (quality {curve['quality']}: {curve['reason']})")
    spec = {
        "kind": "train",
        "name": "train",
        "dataset": "digits",
        "optimizer": {"lr": {"from_job": lr_find["id"]} if curve["suggested"] else None},
        "requires": [sanity["id"]],
    }
    job = _run(console, client, spec)
    report = client.get(f"/v1/jobs/{job['id']}/report", split="test")
    console.print(confusion_table(client.get(f"/v1/jobs/{job['id']}/confusion", split="test")))
    for line in findings_lines(client.get(f"/v1/jobs/{job['id']}/findings")):
        _print(console, line)
    _print(console, f"test accuracy: {report['accuracy']:.3f}")
    _print(
        console,
        f"dashboard: {client.url}/\ndocs page: {client.url}/docs\njob:       {client.url}/v1/jobs/{job['id']}",
    )
    _print(console, "(these addresses were live during the demo; `make up` starts a service that stays)")


def _dataset(client: Client) -> dict[str, Any]:
    known = {row["name"]: row for row in client.get("/v1/datasets")["data"]}
    row = known.get("digits") or client.post(
        "/v1/datasets", {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
    )
    ready = client.wait(f"/v1/datasets/{row['id']}", frozenset({"ready", "failed"}))
    if ready["state"] == "failed":
        raise click.ClickException(f"the import failed: {ready['error']}")
    return ready


def _run(console: Console, client: Client, spec: dict[str, Any]) -> dict[str, Any]:
    """Submits, watches and returns a job that succeeded."""
    job = watch(client, console, client.post("/v1/jobs", spec)["id"])
    if job["state"] != "succeeded":
        reason = job["error"]["detail"] if job["error"] else job["state"]
        raise click.ClickException(f"the {spec['kind']} job ended {job['state']}: {reason}")
    return job
