"""The service keeps its own contract, whatever is sent: schemathesis draws the requests."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.api import contract
from tests.service.api.server import Server
from tests.service.models.weight_files import safetensors
from tests.service.simulated_worker import SimulatedWorker

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
SHORT = ("--phases", "examples,fuzzing,stateful", "--max-examples", "3")


def operations(server: Server) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """Every operation of the service's document, which here asks for no keys."""
    document = httpx.get(f"{server.url}/openapi.json", timeout=60).json()  # its first answer is built
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


@pytest.mark.parametrize("auth", ["off", "keys"])
def test_every_operation_keeps_the_contract(auth: contract.Auth) -> None:
    """Every check, stateful ones too; `make contract` draws ten times as many requests."""
    done = contract.run(auth, SHORT)
    assert done.returncode == 0, done.stdout[-20_000:]


def test_real_answers_fit_their_schemas(server: Server, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    with httpx.Client(base_url=server.url) as client:
        job_id = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()["id"]
        upload_id = client.post("/v1/uploads", json={"name": "a", "filename": "a.zip", "size": 9}).json()["id"]
        form = {"data": {"name": "mine"}, "files": {"file": safetensors({"a": [1]})}}
        weights_id = client.post("/v1/weights", **form).json()["id"]  # type: ignore[arg-type]
    worker.train(job_id)
    known = {"job_id": job_id, "dataset": dataset.id, "upload_id": upload_id, "weights": weights_id}
    known |= {"number": 0, "name": "model.safetensors", "image_format": "svg"}
    checked = 0
    for operation in operations(server):
        if operation.method != "get":
            continue
        parameters = {parameter.name: known[parameter.name] for parameter in operation.path_parameters}
        query = {"ids": job_id} if operation.path == "/v1/compare" else {}
        response = operation.Case(path_parameters=parameters, query=query).call_and_validate(
            base_url=server.url, checks=CHECKS
        )
        checked += response.status_code == 200
    assert checked > 25
