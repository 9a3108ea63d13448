"""Start weights: uploaded as a multipart form, used as `model.weights: {"upload": name}`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as PathParameter

from service.access.identities import check_owner
from service.api.auth import MAY_READ, MAY_TRAIN, CallerDep
from service.api.dataset_bodies import validate_body
from service.api.deps import Cursor, Limit, ServicesDep
from service.api.http.request_bodies import receive_form
from service.api.http.responses import answer, page_answer
from service.api.http.strict_route import StrictRoute
from service.datasets.uploads import Uploads
from service.errors import FieldError, InvalidRequestError
from service.models import weights as uploaded
from service.reports.part import Page
from service.reports.weights import WeightsReport
from service.specs.dataset import DATASET_NAME
from service.specs.requests import WeightsFields

router = APIRouter(prefix="/weights", tags=["weights"], route_class=StrictRoute)
WeightsKey = Annotated[str, PathParameter(max_length=100, description="Id or name of uploaded weights.")]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "file"],
                    "properties": {
                        "name": {"type": "string", "pattern": DATASET_NAME},
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "safetensors, or a state dict that `torch.load(weights_only=True)` reads.",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class ReceivedWeights:
    """A file that has arrived; deleted after the request unless it was moved elsewhere."""

    name: str
    path: Path


async def _receive(request: Request, services: ServicesDep) -> AsyncIterator[ReceivedWeights]:
    with Uploads(services.store).receiving() as part:
        form = await receive_form(request, part)
        if form.filename is None:
            detail = "the form has no file; its field is called `file`"
            raise InvalidRequestError(detail, [FieldError(pointer="/file", detail=detail)])
        yield ReceivedWeights(validate_body(WeightsFields, form.fields).name, part.path)


@router.post("", status_code=201, response_model=WeightsReport, openapi_extra=BODY, dependencies=MAY_TRAIN)
def upload_weights(
    body: Annotated[ReceivedWeights, Depends(_receive, scope="function")], services: ServicesDep, caller: CallerDep
) -> Response:
    """Stores start weights under a name, with the architectures that they fit."""
    report = uploaded.create(services.store, body.name, body.path, caller.name)
    return answer(report, 201, {"Location": f"/v1/weights/{report.id}"})


@router.get("", response_model=Page[WeightsReport], dependencies=MAY_READ)
def list_weights(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Uploaded weights, the newest first."""
    with services.store.read() as session:
        page, following = uploaded.list_page(session, limit=limit, cursor=cursor)
        return page_answer([uploaded.report(session, row) for row in page], attrgetter("id"), following)


@router.get("/{weights}", dependencies=MAY_READ)
def get_weights(weights: WeightsKey, services: ServicesDep) -> WeightsReport:
    """Uploaded weights: size, hash, and the architectures that they fit."""
    with services.store.read() as session:
        return uploaded.report(session, uploaded.get(session, weights))


@router.delete("/{weights}", status_code=204, dependencies=MAY_TRAIN)
def delete_weights(weights: WeightsKey, services: ServicesDep, caller: CallerDep) -> None:
    """Deletes weights that no open job needs, with their file."""
    with services.store.read() as session:
        row = uploaded.get(session, weights)
        check_owner(caller, row.owner, f"The weights `{row.name}`")
    uploaded.delete(services.store, row.id)
