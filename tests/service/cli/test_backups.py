"""`trainwright backup` and `restore`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import main
from service.embedded.processes import lock_home
from service.settings import Settings
from service.store.migrate import upgrade
from service.store.session import Store
from tests.service.conftest import Harness


@pytest.fixture
def harness(home: Path) -> Harness:
    """A home with a job that runs."""
    store = Store(Settings(home=home))
    upgrade(store.engine)
    harness = Harness(store)
    harness.claim(harness.submit())
    store.close()
    return harness


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"TRAINWRIGHT_HOME": str(home)})


def test_a_backup_is_made_and_restored(harness: Harness, tmp_path: Path) -> None:
    home, target, elsewhere = harness.store.settings.home, tmp_path / "backup", tmp_path / "elsewhere"
    made = run(home, "backup", str(target))
    assert (made.exit_code, "0 files" in made.output) == (0, True), made.output
    assert [path for path in (target, *target.rglob("*")) if path.stat().st_mode & 0o077] == [], "readable by others"
    again = run(home, "backup", str(target))
    assert (again.exit_code, "not empty" in again.output) == (1, True), again.output
    restored = run(elsewhere, "restore", str(target))
    assert (restored.exit_code, "restored" in restored.output) == (0, True), restored.output
    refused = run(home, "restore", str(target))
    assert (refused.exit_code, "--replace" in refused.output) == (1, True), refused.output
    assert run(home, "restore", str(target), "--replace").exit_code == 0


def test_nothing_is_restored_under_a_running_service(harness: Harness, tmp_path: Path) -> None:
    home, target = harness.store.settings.home, tmp_path / "backup"
    assert run(home, "backup", str(target)).exit_code == 0
    with lock_home(home):
        refused = run(home, "restore", str(target), "--replace")
    assert (refused.exit_code, "a service is running" in refused.output) == (1, True), refused.output


def test_a_folder_that_holds_no_backup_is_refused(tmp_path: Path) -> None:
    refused = run(tmp_path / "home", "restore", str(tmp_path))
    assert (refused.exit_code, "no complete backup" in refused.output) == (1, True), refused.output
