"""Every command that speaks HTTP, against a real service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.datasets import source_of
from service.cli.main import main
from service.settings import Settings
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker


@pytest.fixture
def server(sqlite_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A service without a worker; the commands find it through the environment."""
    with Server(Settings(home=home, database_url=sqlite_url), Notifications().notify) as running:
        monkeypatch.setenv("TRAINWRIGHT_URL", running.url)
        yield running


@pytest.fixture
def worker(server: Server) -> SimulatedWorker:
    """Plays the worker."""
    return SimulatedWorker(server.store)


def run(*arguments: str) -> Result:
    """The command line with these arguments."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_spec_from_a_file_is_submitted_and_listed(worker: SimulatedWorker, tmp_path: Path, suffix: str) -> None:
    worker.dataset()
    spec = tmp_path / f"job.{suffix}"
    text = (
        '{"kind": "train", "dataset": "digits", "name": "mine"}' if suffix == "json" else "kind: train\ndataset: digits"
    )
    spec.write_text(text)
    submitted = run("submit", str(spec))
    assert submitted.exit_code == 0, submitted.output
    job_id = submitted.output.split()[0]
    assert job_id in run("jobs").output
    assert job_id not in run("jobs", "--state", "failed").output


def test_a_dry_run_shows_the_resolved_spec_and_submits_nothing(worker: SimulatedWorker, tmp_path: Path) -> None:
    worker.dataset()
    (tmp_path / "job.json").write_text('{"kind": "train", "dataset": "digits"}')
    shown = run("submit", str(tmp_path / "job.json"), "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["spec"]["seed"] == 42


def test_a_spec_with_a_fault_is_refused_with_the_field_and_the_nearest_name(
    worker: SimulatedWorker, tmp_path: Path
) -> None:
    worker.dataset()
    (tmp_path / "job.json").write_text('{"kind": "train", "dataset": "digits", "epoch": 3}')
    refused = run("submit", str(tmp_path / "job.json"))
    assert refused.exit_code == 1
    assert "/epoch" in refused.output
    assert "epochs" in refused.output


def test_text_that_is_neither_json_nor_yaml_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    refused = run("submit", str(tmp_path / "job.json"))
    assert refused.exit_code == 1
    assert "neither JSON nor YAML" in refused.output


def test_nobody_at_the_address_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_URL", "http://127.0.0.1:9")
    refused = run("jobs")
    assert refused.exit_code == 1
    assert "trainwright up" in refused.output


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        ("digits", {"kind": "builtin", "name": "digits"}),
        ("FashionMNIST", {"kind": "torchvision", "name": "FashionMNIST", "download": False}),
        ("/data/images", {"kind": "path", "path": "/data/images"}),
    ],
)
def test_a_dataset_is_named_as_its_source_suggests(source: str, spec: dict[str, str | bool]) -> None:
    assert source_of(source) == spec


def test_a_dataset_may_be_one_of_several_editions_and_be_fetched() -> None:
    expected = {"kind": "torchvision", "name": "EMNIST", "variant": "letters", "download": True}
    assert source_of("EMNIST", "letters", download=True) == expected


def test_datasets_are_listed(worker: SimulatedWorker) -> None:
    worker.dataset()
    assert "digits" in run("datasets", "list").output


def test_keys_are_made_listed_and_revoked(sqlite_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = "tw_00000000_" + "k" * 43
    settings = Settings.model_validate({"home": home, "database_url": sqlite_url, "auth": "keys", "admin_key": admin})
    with Server(settings, Notifications().notify) as running:
        monkeypatch.setenv("TRAINWRIGHT_URL", running.url)
        assert run("keys", "list").exit_code == 1
        monkeypatch.setenv("TRAINWRIGHT_API_KEY", admin)
        made = run("keys", "create", "ci", "--scope", "read")
        assert made.exit_code == 0, made.output
        key = made.output.strip()
        assert key.split("_")[1] in run("keys", "list").output
        monkeypatch.setenv("TRAINWRIGHT_API_KEY", key)
        assert run("jobs").exit_code == 0
        monkeypatch.setenv("TRAINWRIGHT_API_KEY", admin)
        revoked = run("keys", "revoke", key.split("_")[1])
        assert revoked.exit_code == 0, revoked.output
        monkeypatch.setenv("TRAINWRIGHT_API_KEY", key)
        assert run("jobs").exit_code == 1
