"""A store opens its HOME for nobody but its user, and its SQLite file gives space back."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.settings import Settings
from service.store import session as sessions
from service.store.migrate import upgrade
from service.store.session import Store
from service.store.tables import ArtifactChunkRow


def test_a_home_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    Store(Settings(home=home)).close()
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("is_old", [False, True])
def test_a_file_shrinks_after_a_deletion_some_pages_at_a_time(
    tmp_path: Path, is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trainwright.db"
    if is_old:  # as made before files could shrink
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE first (id INTEGER)")
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
        connection.close()
    store = Store(Settings(home=tmp_path))
    upgrade(store.engine)
    with store.begin() as session:
        session.add_all(ArtifactChunkRow(blob="a", number=number, data=bytes(2**20)) for number in range(8))
    store.checkpoint()
    full = path.stat().st_size
    with store.begin() as session:
        session.execute(sa.delete(ArtifactChunkRow))
    monkeypatch.setattr(sessions, "VACUUM_PAGES", 500)
    store.checkpoint()
    assert 500 <= (full - path.stat().st_size) / 4096 <= 505, "pages of SQLite's own map of pages go with them"
    for _ in range(4):
        store.checkpoint()
    freed = full - path.stat().st_size
    assert 8 * 2**20 - sessions.SPARE_PAGES * 4096 <= freed < 8 * 2**20 - sessions.SPARE_PAGES * 4096 + 100 * 4096
    with store.read() as session:
        assert session.execute(sa.text("PRAGMA integrity_check")).scalar_one() == "ok"
    store.close()
