"""Import, list, look at and delete datasets."""

from operator import attrgetter
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Response

from service.access.identities import Identity
from service.api.auth import MAY_READ, MAY_TRAIN, CallerDep, OwnDatasetId
from service.api.dataset_bodies import DatasetBody, RawFile, ReceivedFile
from service.api.deps import Cursor, DatasetKey, Limit, Owner, Services, ServicesDep
from service.api.http.examples import DATASET_EXAMPLES
from service.api.http.responses import page_answer
from service.api.http.strict_route import StrictRoute
from service.api.idempotency import IdempotencyKey, create_once
from service.datasets import imports, revisions, samples
from service.datasets.reports import created_dataset, dataset_report
from service.datasets.uploads import Uploads
from service.jobs import queue
from service.reports.dataset import DatasetReport, Profile
from service.reports.part import Page
from service.specs.dataset import DATASET_NAME, RevisionRequest
from service.store import datasets

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=StrictRoute)
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "file"],
    "properties": {
        "name": {"type": "string", "pattern": DATASET_NAME},
        "file": {"type": "string", "format": "binary", "description": "zip, tar(.gz), npz or CSV."},
        "options": {"type": "string", "description": "ImportOptions as JSON."},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/DatasetRequest"},
                "examples": DATASET_EXAMPLES,
            },
            "multipart/form-data": {"schema": FORM_SCHEMA},
        },
    }
}
RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {"name": "filename", "in": "query", "required": True, "schema": {"type": "string", "maxLength": 255}},
        {"name": "options", "in": "query", "schema": {"type": "string"}, "description": "ImportOptions as JSON."},
    ],
}


@router.post("", status_code=202, response_model=DatasetReport, openapi_extra=BODY, dependencies=MAY_TRAIN)
def create_dataset(
    body: DatasetBody, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Imports a dataset in the background: a known or an operator's source as JSON, a file as a multipart form."""
    if isinstance(body, ReceivedFile):
        return _import_file(services, caller, body, idempotency_key)
    return create_once(
        services,
        caller,
        idempotency_key,
        body,
        lambda session: queue.unless_full(
            session,
            services.settings,
            lambda writing: created_dataset(writing, imports.create(writing, body.name, body.source)),
        ),
    )


@router.put("/{dataset}", status_code=202, response_model=DatasetReport, openapi_extra=RAW_BODY, dependencies=MAY_TRAIN)
def upload_dataset(
    body: RawFile,
    dataset: DatasetKey,
    services: ServicesDep,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Imports the body, a file, under this name; safe to start again when a transfer broke off."""
    return _import_file(services, caller, body, idempotency_key)


@router.get("", response_model=Page[DatasetReport], dependencies=MAY_READ)
def list_datasets(services: ServicesDep, owner: Owner = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Datasets, the newest first."""
    with services.store.read() as session:
        rows, following = datasets.list_page(session, owner=owner, limit=limit, cursor=cursor)
        return page_answer([dataset_report(session, row) for row in rows], attrgetter("id"), following)


@router.get("/{dataset}", dependencies=MAY_READ)
def get_dataset(dataset: DatasetKey, services: ServicesDep) -> DatasetReport:
    """One dataset: state and progress of its import, classes and counts."""
    with services.store.read() as session:
        return dataset_report(session, datasets.get(session, dataset))


@router.post("/{dataset}/revisions", status_code=202, response_model=DatasetReport, dependencies=MAY_TRAIN)
def revise_dataset(
    request: RevisionRequest,
    dataset: OwnDatasetId,
    services: ServicesDep,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Imports the same data again under other options, as a new dataset: nothing has to be uploaded twice."""
    artifacts = services.store.artifacts
    return create_once(
        services,
        caller,
        idempotency_key,
        f"{dataset} {request.model_dump_json()}",
        lambda session: queue.unless_full(
            session,
            services.settings,
            lambda writing: created_dataset(writing, revisions.create(writing, artifacts, dataset, request)),
        ),
    )


@router.delete("/{dataset}", status_code=204, dependencies=MAY_TRAIN)
def delete_dataset(dataset: OwnDatasetId, services: ServicesDep) -> None:
    """Deletes a dataset that no open job needs, with its files."""
    imports.delete(services.store, dataset)


@router.get("/{dataset}/profile", dependencies=MAY_READ)
def get_profile(dataset: DatasetKey, services: ServicesDep) -> Profile:
    """What the import saw (one that failed too): classes, sizes, faults, duplicates, and what to do about them."""
    with services.store.read() as session:
        return datasets.ready_profile(datasets.get(session, dataset))


@router.get(
    "/{dataset}/samples/{number}",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=MAY_READ,
)
def get_sample(dataset: DatasetKey, number: Annotated[int, Path(ge=0, lt=2**31)], services: ServicesDep) -> Response:
    """The picture of one sample as training sees it; `X-Label` and `X-Split` say what it is."""
    sample = samples.sample(services.store, dataset, number)
    headers = {"X-Label": quote(sample.label), "X-Split": sample.split, "Cache-Control": "private, max-age=86400"}
    return Response(sample.png, media_type="image/png", headers=headers)


def _import_file(services: Services, caller: Identity, body: ReceivedFile, key: str | None) -> Response:
    fields = body.fields
    if key is None:  # with a key the dataset of this name may be the one that the same request made before
        imports.check_name(services.store, fields.name)
    with Uploads(services.store).stored(body.path) as stored:
        request = f"{fields.model_dump_json()} {stored.sha256}"
        return create_once(
            services,
            caller,
            key,
            request,
            lambda session: queue.unless_full(
                session,
                services.settings,
                lambda writing: created_dataset(writing, imports.create_from_file(writing, fields, stored.key)),
            ),
        )
