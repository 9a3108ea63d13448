"""`python -m tests.service.api.contract`: Schemathesis with every check on a server without keys, and on one with keys.

What `contract.toml` leaves out is argued in docs/decisions/contract-testing.md. As the hooks of a run, this module
says how Schemathesis sends what it has no serializer for.
"""

import ipaddress
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
import schemathesis
from pydantic import SecretStr

from service.settings import Settings
from service.store.migrate import upgrade
from service.store.session import Store
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker
from tests.worker.attempt.processes import ROOT

Auth = Literal["off", "keys"]
KEY = "tw_00000000_" + "k" * 43
LONG = ("--max-examples", "30")
# A piece of an upload is bytes like any other.
_addresses = itertools.count(1)
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Each request comes from an address of its own: wrong keys, which are drawn too, delay those of one address."""
    case.headers["X-Forwarded-For"] = str(ipaddress.IPv4Address("10.0.0.0") + next(_addresses))


def run(auth: Auth, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs Schemathesis against a server that has a dataset and a job of each common kind of result."""
    home = Path(tempfile.mkdtemp(prefix="tw-"))
    key = SecretStr(KEY) if auth == "keys" else None
    settings = Settings(home=home, auth=auth, admin_key=key, max_upload_bytes=10 * 2**20, sweep_seconds=3600)
    store = Store(settings)
    upgrade(store.engine)
    store.close()
    try:
        with Server(settings, lambda _: True) as server:
            _fill(server)
            return subprocess.run(
                [*_command(server, home, auth), *options], cwd=ROOT, text=True, capture_output=True, check=False
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _fill(server: Server) -> None:
    worker = SimulatedWorker(server.store)
    worker.dataset()
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}) as client:
        job_id = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()["id"]
    worker.train(job_id)


def _command(server: Server, home: Path, auth: Auth) -> list[str]:
    document = httpx.get(f"{server.url}/openapi.json", timeout=60).json()  # its first answer is built
    if auth == "off":  # the document describes the service with keys; this one asks for none
        for methods in document["paths"].values():
            for operation in methods.values():
                operation.pop("security", None)
    path = home / "openapi.json"
    path.write_text(json.dumps(document))
    config = Path(__file__).with_name("contract.toml")
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"]
    header = [] if auth == "off" else ["--header", f"Authorization: Bearer {KEY}"]
    return [*program, "run", str(path), "--url", server.url, *header]


def main() -> int:
    """The long form, for both kinds of server; returns the exit code."""
    codes = []
    for auth in ("off", "keys"):
        done = run(auth, (*LONG, *sys.argv[1:]))
        print(f"AUTH={auth}\n{done.stdout}{done.stderr}", flush=True)
        codes.append(done.returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
