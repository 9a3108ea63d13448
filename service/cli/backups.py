"""`trainwright backup` and `trainwright restore`."""

from contextlib import ExitStack
from pathlib import Path

import click

from service.errors import TrainwrightError
from service.settings import load_settings

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("target", type=FOLDER)
def backup(target: Path) -> None:
    """Copy database and files into a new folder, while everything runs."""
    from service.store.session import Store
    from service.upkeep.backup import back_up

    store = Store(load_settings())
    try:
        manifest = back_up(store, target)
    except TrainwrightError as error:
        raise click.ClickException(error.detail) from error
    finally:
        store.close()
    click.echo(f"{target} holds the database and {len(manifest.files)} files beside it")


@click.command()
@click.argument("target", type=FOLDER)
@click.option("--replace", is_flag=True, help="Give up what the service has stored.")
def restore(target: Path, replace: bool) -> None:
    """Put the backup in a folder in the place of what a service has stored."""
    from service.embedded.processes import lock_home
    from service.upkeep.restore import restore as restore_backup

    settings = load_settings()
    with ExitStack() as stack:
        stack.enter_context(lock_home(settings.home))
        try:
            manifest = restore_backup(settings, target, replace=replace)
        except TrainwrightError as error:
            raise click.ClickException(error.detail) from error
    click.echo(f"restored what was stored at {manifest.created_at}; jobs that ran then go on when a worker is there")
