"""`trainwright keys ...`."""

import click
from rich.console import Console

from service.cli.client import connect
from service.cli.terminal import table_of


@click.group()
def keys() -> None:
    """Create, list and revoke API keys (needs a key with the scope admin)."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "train", "admin"]), default="train", show_default=True)
def create_key(name: str, scope: str) -> None:
    """Make a key; it is shown this once."""
    click.echo(connect().post("/v1/keys", {"name": name, "scope": scope})["key"])


@keys.command("list")
def list_keys() -> None:
    """List keys."""
    table = table_of("id", "name", "scope", "created", "revoked")
    for key in connect().get("/v1/keys")["data"]:
        table.add_row(key["id"], key["name"], key["scope"], key["created_at"][:19], (key["revoked_at"] or "")[:19])
    Console().print(table)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Make a key useless from now on."""
    connect().call("DELETE", f"/v1/keys/{key_id}")
    click.echo(f"{key_id} is revoked")
