"""Clients that are generated from the contract at default settings are typed, and submit a job."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker

NPM = ("openapi-typescript@7.13.0", "typescript@5.9.3", "openapi-fetch@0.17.0")
PYTHON = """
import sys
from trainwright_client import Client
from trainwright_client.api.jobs import get_job, submit_job
from trainwright_client.models import TrainJobReport, TrainSpec, TrainSubmittedJob

with Client(base_url=sys.argv[1]) as client:
    job = submit_job.sync(client=client, body=TrainSpec(kind="train", dataset="digits", epochs=3))
    assert isinstance(job, TrainSubmittedJob), job
    shown = get_job.sync(job.id, client=client)
    assert isinstance(shown, TrainJobReport) and shown.result is None, shown
print(job.id)
"""
TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[] };

async function main(): Promise<void> {
  const client = createClient<paths>({ baseUrl: process.argv[2] });
  const spec: components["schemas"]["TrainSpec"] = { kind: "train", dataset: "digits", epochs: 3 };
  const { data, error } = await client.POST("/v1/jobs", { body: spec });
  if (error || !data || !("id" in data)) throw new Error(JSON.stringify(error));
  const shown = await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: data.id } } });
  const job = shown.data;
  if (job?.kind !== "train") throw new Error(JSON.stringify(shown.error));
  const accuracy: number | undefined = job.result?.test["accuracy"];
  console.log(job.id, accuracy ?? "");
}

void main();
"""


@pytest.fixture
def contract(client: httpx.Client, tmp_path: Path, worker: SimulatedWorker) -> Path:
    """The contract as a file."""
    worker.dataset()
    path = tmp_path / "openapi.json"
    path.write_text(client.get("/openapi.json").text)
    return path


def run(command: list[str], folder: Path) -> str:
    """What a program prints that has to succeed."""
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_a_python_client_submits_a_job(contract: Path, server: Server, client: httpx.Client) -> None:
    package = contract.parent / "trainwright_client"
    program = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    said = run([*program, "--path", contract.name, "--output-path", package.name], contract.parent)
    assert "Unable to process schema" not in said
    script = contract.with_name("submit.py")
    script.write_text(PYTHON)
    job_id = run([sys.executable, script.name, server.url], contract.parent).strip()
    assert client.get(f"/v1/jobs/{job_id}").json()["spec"]["epochs"] == 3


@pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed")
def test_a_typescript_client_submits_a_job(contract: Path, server: Server, client: httpx.Client) -> None:
    folder = contract.parent
    folder.joinpath("package.json").write_text(json.dumps({"private": True, "type": "module"}))
    folder.joinpath("submit.ts").write_text(TYPESCRIPT)
    run(["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", *NPM], folder)
    tools = folder / "node_modules" / ".bin"
    run([str(tools / "openapi-typescript"), contract.name, "-o", "schema.d.ts"], folder)
    strict = ["--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"]
    run([str(tools / "tsc"), *strict, "submit.ts"], folder)
    job_id = run(["node", "submit.js", server.url], folder).split()[0]
    assert client.get(f"/v1/jobs/{job_id}").json()["spec"]["epochs"] == 3
