"""Settings come from the environment, or from files that it names."""

from pathlib import Path

import pytest

from service.settings import load_settings


def test_any_setting_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"DATABASE_URL": "postgresql+psycopg://u:p@h/d", "PORT": "9000", "DATA_ROOTS": "/a:/b"}.items():
        (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setenv(f"TRAINWRIGHT_{name}_FILE", str(tmp_path / name))
    settings = load_settings()
    assert settings.database == "postgresql+psycopg://u:p@h/d"
    assert (settings.port, settings.data_roots) == (9000, (Path("/a"), Path("/b")))


def test_settings_of_the_environment_and_of_files_hold_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "port").write_text("9000")
    monkeypatch.setenv("TRAINWRIGHT_PORT_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("TRAINWRIGHT_HOST", "::1")
    assert (load_settings().port, load_settings().host) == (9000, "::1")


def test_a_setting_that_is_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("k")
    monkeypatch.setenv("TRAINWRIGHT_ADMIN_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("TRAINWRIGHT_ADMIN_KEY", "k")
    with pytest.raises(SystemExit, match="TRAINWRIGHT_ADMIN_KEY and TRAINWRIGHT_ADMIN_KEY_FILE"):
        load_settings()


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
def test_a_file_that_cannot_be_read_is_refused_by_name(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("TRAINWRIGHT_BROKER_URL_FILE", str(path))
    with pytest.raises(SystemExit, match=f"TRAINWRIGHT_BROKER_URL_FILE: {path}"):
        load_settings()
