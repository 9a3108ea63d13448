"""The jobs of one trial, submitted as a careful client does, and awaited."""

import io
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from service.states import TERMINAL, JobState
from service.store import datasets, events
from service.store.tables import JobRow
from tests.faults.campaign.homes import Home
from tests.polling import eventually

MODEL = {"family": "mlp", "hidden": [32]}
PART = {"dataset": "digits", "model": MODEL, "batch_size": 64}
EPOCHS = {"epochs": 40, "early_stopping": None, "checkpoint": {"every_steps": 40}}
SEARCH_SPACE = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
SPECS: dict[str, dict[str, Any]] = {
    "train": {"kind": "train", **PART, **EPOCHS},
    "tune": {
        "kind": "tune",
        "train": {**PART, "epochs": 3, "early_stopping": None},
        "search_space": SEARCH_SPACE,
        "n_trials": 6,
        "pruner": "none",
    },
    "batch-size": {"kind": "batch-size", **PART, "candidates": [64], "search_up": False},
    "lr-find": {"kind": "lr-find", **PART, "num_steps": 60},
}
STALL_SECONDS = 20.0
"""A training process that is silent for so long is killed."""
"""Fixed seeds: each of these comes out the same whenever nothing disturbs it."""
IMPORT = "import"
"""Of a small file, uploaded."""
LATE = "lr-find"
"""Submitted while the fault is there."""
PAUSE_SECONDS = 0.2


def _drawings() -> bytes:
    """Two hundred random pictures of two classes as an npz file."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    np.savez(file, X=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), y=np.arange(200) % 2)
    return file.getvalue()


FILE = _drawings()


def first_kinds(number: int) -> tuple[str, ...]:
    """What trial `number` begins with; a `batch-size` job takes as long as all others, so it is in a third of them."""
    return ("train", "tune", IMPORT) if number % 3 else ("train", "tune", IMPORT, "batch-size")


def import_digits(home: Home) -> None:
    """Imports the data that the jobs use."""
    source = {"kind": "builtin", "name": "digits"}
    httpx.post(f"{home.url}/v1/datasets", json={"name": "digits", "source": source}).raise_for_status()

    def is_ready() -> bool:
        return bool(httpx.get(f"{home.url}/v1/datasets/digits").json()["state"] == "ready")

    eventually(is_ready, home.logs)


@dataclass
class Work:
    """What one trial has submitted to `home`: the jobs' ids by kind."""

    home: Home
    tag: str
    job_ids: dict[str, str] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    """Answers that no fault excuses."""

    def submit(self, kind: str, patience_seconds: float) -> bool:
        """Sends one job again and again under one idempotency key until it is accepted."""
        last = time.monotonic() + patience_seconds
        while kind not in self.job_ids:
            job_id = self._try(kind)
            if job_id is not None:
                self.job_ids[kind] = job_id
            elif time.monotonic() > last:
                return False
            else:
                time.sleep(PAUSE_SECONDS)
        return True

    def _try(self, kind: str) -> str | None:
        """The id of the accepted job; None when the service says that it cannot take it now."""
        headers = {"idempotency-key": f"{self.tag}-{kind}"}
        try:
            if kind == IMPORT:
                form: dict[str, Any] = {"data": {"name": self.tag}, "files": {"file": ("drawings.npz", FILE)}}
                answer = httpx.post(f"{self.home.url}/v1/datasets", headers=headers, timeout=15, **form)
            else:
                spec = SPECS[kind] | {"limits": {"stall_seconds": STALL_SECONDS}, "labels": {"trial": self.tag}}
                answer = httpx.post(f"{self.home.url}/v1/jobs", json=spec, headers=headers, timeout=15)
        except httpx.TransportError:
            return None
        if answer.status_code == 500:
            self.faults.add(f"the submission of {kind} was answered 500: {answer.text[:200]}")
        if answer.status_code in (429, 500, 503, 507):
            return None
        assert answer.status_code == 202, answer.text
        document = answer.json()
        job_id: str = document["job"] if kind == IMPORT else document["id"]
        return job_id

    def states(self) -> dict[str, JobState | None]:
        """The state of each job; None for one that is not there. Raises SQLAlchemyError while the database is away."""
        query = select(JobRow.id, JobRow.state).where(JobRow.id.in_(self.job_ids.values()))
        with self.home.store.read() as session:
            rows = dict(session.execute(query).all())
        return {kind: JobState(rows[job_id]) if job_id in rows else None for kind, job_id in self.job_ids.items()}

    def open_kinds(self) -> list[str]:
        """Jobs that are there and have not ended."""
        return [kind for kind, state in self.states().items() if state is not None and state not in TERMINAL]

    def wait(self, patience_seconds: float) -> list[str]:
        """Until every job has ended, starting again whatever dies meanwhile; returns the programs that died."""
        died: list[str] = []
        last = time.monotonic() + patience_seconds
        while time.monotonic() < last:
            died += self.home.heal()
            try:
                if not self.open_kinds():
                    break
            except SQLAlchemyError:
                pass  # the database comes back
            time.sleep(0.1)
        return died

    def has_checkpoint(self) -> bool:
        """Whether the training has announced a checkpoint to go on from."""
        with self.home.store.read() as session:
            checkpoints = events.after(session, self.job_ids["train"], 0, type="checkpoint")
        return any(event.data["role"] == "last" for event in checkpoints)

    def all_ids(self) -> list[str]:
        """Ids of every job that there is under this trial's label or name, whether accepted knowingly or not."""
        with self.home.store.read() as session:
            labelled = select(JobRow.id).where(JobRow.labels["trial"].as_string() == self.tag)
            job_ids = list(session.execute(labelled).scalars())
            return [*job_ids, datasets.get(session, self.tag).job_id]

    def delete(self) -> None:
        """Deletes the trial's jobs and its dataset, so that small volumes stay empty enough."""
        with httpx.Client(base_url=self.home.url, timeout=30) as client:
            for kind, job_id in self.job_ids.items():
                path = f"/v1/datasets/{self.tag}" if kind == IMPORT else f"/v1/jobs/{job_id}"
                client.delete(path).raise_for_status()
