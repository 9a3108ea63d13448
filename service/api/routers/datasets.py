"""Import, list, look at and delete datasets."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from sqlalchemy.orm import Session

from service.api.auth import MAY_READ, MAY_TRAIN
from service.api.deps import Cursor, Limit, Services, ServicesDep
from service.api.http.dataset_bodies import DatasetBody, RawUpload, Upload
from service.api.http.serializers import dataset_report
from service.errors import ConflictError, NotReadyError
from service.jobs.idempotency import IdempotencyKey, Made, once
from service.reports.dataset import DatasetReport, Profile
from service.reports.page import Page
from service.specs.dataset import DatasetRequest, DatasetSource, UploadSource
from service.specs.examples import DATASET_EXAMPLES
from service.store import datasets, files
from service.store.ids import new_id
from service.store.tables import DatasetRow, JobRow

if TYPE_CHECKING:
    from service.datasets.samples import PackedArray

router = APIRouter(prefix="/datasets", tags=["datasets"])
DatasetKey = Annotated[str, Path(max_length=100, description="Id or name of a dataset.")]
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "file"],
    "properties": {
        "name": {"type": "string"},
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
def create_dataset(body: DatasetBody, services: ServicesDep, idempotency_key: IdempotencyKey = None) -> Response:
    """Imports a dataset in the background: a known or an operator's source as JSON, a file as a multipart form."""
    if isinstance(body, Upload):
        return _import_upload(services, body, idempotency_key)
    request = DatasetRequest(name=body.name, source=body.source)
    return once(services, idempotency_key, request, lambda session: _create(session, body.name, body.source))


@router.put("/{dataset}", status_code=202, response_model=DatasetReport, openapi_extra=RAW_BODY, dependencies=MAY_TRAIN)
def upload_dataset(
    body: RawUpload, dataset: DatasetKey, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Imports the body, a file, under this name; safe to start again when a transfer broke off."""
    return _import_upload(services, body, idempotency_key)


@router.get("", dependencies=MAY_READ)
def list_datasets(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Page[DatasetReport]:
    """Datasets, the newest first."""
    with services.store.read() as session:
        rows, following = datasets.list_page(session, limit=limit, cursor=cursor)
        return Page(data=[dataset_report(session, row) for row in rows], next_cursor=following)


@router.get("/{dataset}", dependencies=MAY_READ)
def get_dataset(dataset: DatasetKey, services: ServicesDep) -> DatasetReport:
    """One dataset: state and progress of its import, classes and counts."""
    with services.store.read() as session:
        return dataset_report(session, datasets.get(session, dataset))


@router.delete("/{dataset}", status_code=204, dependencies=MAY_TRAIN)
def delete_dataset(dataset: DatasetKey, services: ServicesDep) -> None:
    """Deletes a dataset that no open job needs, with its files."""
    with services.store.begin() as session:
        row = datasets.remove(session, dataset)
        keys = [file.artifact for file in files.of(session, row.id)] + _uploaded(session, row)
        files.remove(session, row.id)
    for key in keys:
        services.store.artifacts.delete(key)


@router.get("/{dataset}/profile", dependencies=MAY_READ)
def get_profile(dataset: DatasetKey, services: ServicesDep) -> Profile:
    """What the import saw: classes, sizes, faults, duplicates, leakage, and what to do about them."""
    with services.store.read() as session:
        return _profile(datasets.get(session, dataset))


@router.get(
    "/{dataset}/samples/{number}",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=MAY_READ,
)
def get_sample(dataset: DatasetKey, number: Annotated[int, Path(ge=0, lt=2**31)], services: ServicesDep) -> Response:
    """The picture of one sample as training sees it; `X-Label` and `X-Split` say what it is."""
    from service.datasets.samples import (  # NumPy and Pillow are slow to import, few ask for a sample
        label_and_split,
        png,
    )

    with services.store.read() as session:
        row = datasets.get(session, dataset)
        meta = _profile(row).meta
        opened = {name: _array(services, session, row, f"{name}.npy") for name in ("x", "y", "split")}
    if meta.modality != "image":
        raise NotReadyError(f"`{row.name}` holds features, not pictures")
    image = png(opened["x"]().row(number))
    label, split = label_and_split(opened["y"](), opened["split"](), number, meta)
    headers = {"X-Label": quote(label), "X-Split": split, "Cache-Control": "private, max-age=86400"}
    return Response(image, media_type="image/png", headers=headers)


def _import_upload(services: Services, upload: Upload, key: str | None) -> Response:
    """Moves the file into the artifact store, then makes the dataset; what is not needed in the end is deleted."""
    name = upload.fields.name
    if key is None:  # with a key it may be this upload's own dataset
        try:
            with services.store.read() as session:
                datasets.check_name(session, name)
        except ConflictError:
            upload.file.unlink(missing_ok=True)
            raise
    stored = services.store.artifacts.put(f"uploads/{new_id()}", upload.file)
    source = UploadSource(
        kind="upload", filename=upload.fields.filename, artifact=stored.key, options=upload.fields.options
    )
    request = f"{upload.fields.model_dump_json()} {stored.sha256}"
    is_used = False

    def create(session: Session) -> Made:
        nonlocal is_used
        is_used = True
        return _create(session, name, source)

    try:
        response = once(services, key, request, create)
    except BaseException:
        services.store.artifacts.delete(stored.key)
        raise
    if not is_used:
        services.store.artifacts.delete(stored.key)
    return response


def _create(session: Session, name: str, source: DatasetSource) -> Made:
    row = datasets.create(session, name, source)
    return Made(dataset_report(session, row), location=f"/v1/datasets/{row.id}", startable=[row.job_id])


def _uploaded(session: Session, row: DatasetRow) -> list[str]:
    """Key of the file that the dataset was imported from, where it was uploaded."""
    importer = session.get(JobRow, row.job_id)
    source = importer.spec["source"] if importer else {}
    return [source["artifact"]] if source.get("kind") == "upload" else []


def _profile(row: DatasetRow) -> Profile:
    profile = datasets.profile(row)
    if profile is None:
        raise NotReadyError(f"the dataset `{row.name}` is {row.state}; its profile comes with the end of the import")
    return profile


def _array(services: Services, session: Session, row: DatasetRow, name: str) -> Callable[[], "PackedArray"]:
    from service.datasets.samples import PackedArray

    artifact = files.named(session, row.id, name).artifact
    return lambda: PackedArray.open(lambda start, stop: services.store.artifacts.read(artifact, start, stop))
