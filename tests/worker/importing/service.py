"""Imports through the whole service: the HTTP API, the store, the supervisor and a process of its own."""

import json
from typing import Any

import httpx

from tests.service.api.server import Server
from tests.worker.attempt.attempts import Attempt


class ImportService:
    """A client of a running service whose jobs are carried out when they are asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self._count = 0

    def upload(self, filename: str, content: bytes, **options: Any) -> dict[str, Any]:
        """Hands in a file; the dataset once its import has ended."""
        return self.run(self.hand_in(filename, content, **options))

    def hand_in(self, filename: str, content: bytes, **options: Any) -> dict[str, Any]:
        """Hands in a file; the dataset while it waits for its import."""
        self._count += 1
        response = self.client.post(
            "/v1/datasets",
            data={"name": f"d{self._count}", "options": json.dumps(options)},
            files={"file": (filename, content)},
        )
        assert response.status_code == 202, response.text
        dataset: dict[str, Any] = response.json()
        return dataset

    def run(self, dataset: dict[str, Any]) -> dict[str, Any]:
        """Carries out the import of a dataset."""
        Attempt(self.server.store, dataset["job"]).run()
        ended: dict[str, Any] = self.client.get(f"/v1/datasets/{dataset['id']}").json()
        assert ended["state"] in ("ready", "failed"), ended
        return ended

    def profile(self, dataset: dict[str, Any]) -> dict[str, Any]:
        """The profile of a dataset."""
        response = self.client.get(f"/v1/datasets/{dataset['id']}/profile")
        assert response.status_code == 200, (response.text, dataset["error"])
        profile: dict[str, Any] = response.json()
        return profile

    def findings(self, dataset: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What the profile found, by name."""
        return {finding["name"]: finding for finding in self.profile(dataset)["findings"]}

    def warnings(self, dataset: dict[str, Any], **spec: Any) -> set[str]:
        """Codes of what a dry run of a training on the dataset warns of."""
        body = {"kind": "train", "dataset": dataset["id"], "model": {"family": "mlp"}} | spec
        response = self.client.post("/v1/jobs", params={"dry_run": True}, json=body)
        assert response.status_code == 200, response.text
        return {warning["code"] for warning in response.json()["warnings"]}
