"""From submit to the first training step, on a warm worker, each job in a process of its own."""

import statistics
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.measure import Measure
from service.cli.client import Client
from service.embedded.processes import EmbeddedService, free_port
from service.settings import load_settings
from service.states import TERMINAL

JOBS = 15


def measure() -> list[Measure]:
    """Median over a few jobs, by the service's own clock: `created_at` to the event of the phase `training`."""
    with tempfile.TemporaryDirectory(prefix="tw-") as home:
        settings = load_settings().model_copy(update={"home": Path(home), "port": free_port()})
        with EmbeddedService(settings) as service:
            client = Client(service.url)
            source = {"kind": "builtin", "name": "digits"}
            dataset = client.post("/v1/datasets", {"name": "digits", "source": source})
            client.wait(f"/v1/datasets/{dataset['id']}", frozenset({"ready"}))
            times = [_one(client) for _ in range(JOBS + 1)][1:]  # the first one warms up
    note = f"{min(times):.3f} to {max(times):.3f} s over {JOBS} jobs"
    return [
        Measure("submit to first training step, median", statistics.median(times), 0.3, "s", at_least=False, note=note)
    ]


def _one(client: Client) -> float:
    job = client.post("/v1/jobs", {"kind": "train", "dataset": "digits", "epochs": 1})
    client.wait(f"/v1/jobs/{job['id']}", TERMINAL)
    events = client.get(f"/v1/jobs/{job['id']}/events")["data"]
    first = next(event for event in events if event["type"] == "phase" and event["data"]["phase"] == "training")
    return (datetime.fromisoformat(first["time"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
