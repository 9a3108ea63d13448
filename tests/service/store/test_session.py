"""A store opens its HOME for nobody but its user."""

from pathlib import Path

from service.settings import Settings
from service.store.session import Store


def test_a_home_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    Store(Settings(home=home)).close()
    assert home.stat().st_mode & 0o777 == 0o700
