"""A bundle that is run again, on a real service."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import main
from tests.polling import eventually
from tests.service.cli.service_process import ServiceProcess

SPEC = {"kind": "train", "dataset": "digits", "epochs": 2, "model": {"family": "mlp", "hidden": [16]}}


def reproduce(path: Path) -> Result:
    return CliRunner().invoke(main, ["reproduce", str(path)])


def test_a_bundle_is_run_again_and_its_numbers_are_compared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ServiceProcess(home) as service:
        monkeypatch.setenv("TRAINWRIGHT_URL", service.url)
        address = service.client.post("/v1/jobs", json=SPEC).headers["location"]
        eventually(lambda: service.client.get(address).json()["state"] == "succeeded")
        path = home / "bundle.json"
        path.write_text(service.client.get(f"{address}/bundle").text)
        again = reproduce(path)
        assert (again.exit_code, again.output.splitlines()[-1][:11]) == (0, "equal: all "), again.output

        bundle = json.loads(path.read_text())
        bundle["reports"]["result"]["best"]["loss"] += 1e-9
        bundle["versions"]["torch"] = "1.0"
        path.write_text(json.dumps(bundle))
        other = reproduce(path)
        assert other.exit_code == 1
        assert "torch: 1.0 then" in other.output
        assert "/reports/result/best/loss: " in other.output
        assert "different: 1 of " in other.output

        path.write_text(json.dumps(bundle | {"dataset": {"hash": "b" * 64}}))
        assert "no dataset here has the hash" in reproduce(path).output
        path.write_text("{}")
        assert "is not the bundle of a job" in reproduce(path).output
