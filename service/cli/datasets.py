"""`trainwright datasets ...`."""

from pathlib import Path

import click
from rich.console import Console

from service.cli.client import connect
from service.cli.terminal import table_of
from service.cli.uploads import upload


@click.group()
def datasets() -> None:
    """Import and list datasets."""


@datasets.command("import")
@click.argument("source")
@click.option("--name", help="Name of the dataset (default: the source's).")
@click.option("--label-column", help="The label's column in a CSV.")
@click.option("--drop-corrupt", is_flag=True, help="Leave unreadable files out instead of failing.")
@click.option("--variant", help="Which edition of a torchvision dataset (EMNIST: letters).")
@click.option("--download", is_flag=True, help="Fetch a torchvision dataset that no data root has.")
def import_command(
    source: str, name: str | None, label_column: str | None, drop_corrupt: bool, variant: str | None, download: bool
) -> None:
    """Import `digits`, a torchvision name (FashionMNIST), a file to upload, or a folder under a data root."""
    client = connect()
    options = {"label_column": label_column, "drop_corrupt": drop_corrupt}
    name = name or Path(source).name.split(".")[0] or source
    if Path(source).is_file():
        row = upload(client, Path(source), {"name": name, "options": options})
    else:
        row = client.post(
            "/v1/datasets", {"name": name, "source": source_of(source, variant, download) | {"options": options}}
        )
    with Console().status(f"importing {name}"):
        ready = client.wait(f"/v1/datasets/{row['id']}", frozenset({"ready", "failed"}))
    if ready["state"] == "failed":
        raise click.ClickException(f"the import failed: {ready['error']['detail']}")
    click.echo(f"{ready['id']}  {ready['name']}  {ready['counts']}  {len(ready['classes'])} classes")
    for finding in client.get(f"/v1/datasets/{row['id']}/profile")["findings"]:
        if finding["severity"] != "info":
            click.echo(f"{finding['severity']}: {finding['explanation']} {finding['remedy']['text']}")


def source_of(source: str, variant: str | None = None, download: bool = False) -> dict[str, str | bool]:
    """What the API calls a source, from the word on the command line."""
    if source == "digits":
        return {"kind": "builtin", "name": "digits"}
    if "/" in source or source.startswith("."):
        return {"kind": "path", "path": str(Path(source).absolute())}
    named: dict[str, str | bool] = {"kind": "torchvision", "name": source, "download": download}
    return named | ({"variant": variant} if variant else {})


@datasets.command("list")
def list_datasets() -> None:
    """List datasets, the newest first."""
    table = table_of("id", "name", "state", "classes", "samples")
    for row in connect().get("/v1/datasets")["data"]:
        table.add_row(row["id"], row["name"], row["state"], str(len(row["classes"])), str(sum(row["counts"].values())))
    Console().print(table)
