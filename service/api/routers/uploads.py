"""Large files in pieces: begin an upload, ask how much has arrived, send the rest; the last byte starts the import.

The protocol is tus's core: `HEAD` tells `Upload-Offset`, `PATCH` with the same `Upload-Offset` appends.
"""

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.orm import Session

from service.api.auth import MAY_READ, MAY_TRAIN
from service.api.deps import Services, ServicesDep, also, answer
from service.api.http.request_bodies import append
from service.api.http.serializers import dataset_report
from service.datasets.uploads import Upload, Uploads
from service.errors import ConflictError, FieldError, InvalidRequestError, TooLargeError
from service.jobs.idempotency import Made, once
from service.reports.dataset import DatasetReport, UploadReport
from service.specs.dataset import UploadRequest, UploadSource
from service.store import datasets
from service.store.artifacts import sha256_of
from service.store.ids import new_id

router = APIRouter(prefix="/uploads", tags=["datasets"])
UploadId = Annotated[str, Path(max_length=100, description="Id of an upload.")]
PIECE_TYPE = "application/offset+octet-stream"
PIECE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {
            "name": "Upload-Offset",
            "in": "header",
            "required": True,
            "schema": {"type": "integer", "minimum": 0},
            "description": "Bytes that have arrived; 409 when it is another number.",
        }
    ],
}


@router.post("", status_code=201, response_model=UploadReport, dependencies=MAY_TRAIN)
def begin_upload(request: UploadRequest, services: ServicesDep) -> Response:
    """Begins an upload in pieces; with the `sha256` of an upload that broke off, that one goes on."""
    if request.size > services.settings.max_upload_bytes:
        raise TooLargeError(f"{request.size:,} bytes are over the limit of {services.settings.max_upload_bytes:,}")
    _check_name(services, request.name)
    uploads = Uploads(services.settings.home)
    upload = uploads.begin(request)
    missing = request.size - uploads.offset(upload)
    if missing > shutil.disk_usage(uploads.folder).free:
        raise TooLargeError(f"the service's disk has no room for {missing:,} more bytes")
    headers = _headers(uploads, upload) | {"Location": f"/v1/uploads/{upload.id}"}
    return answer(_report(uploads, upload), 201, headers)


@router.get("/{upload_id}", response_model=UploadReport, dependencies=MAY_READ)
def get_upload(upload_id: UploadId, services: ServicesDep) -> Response:
    """How much of an upload has arrived; `HEAD` tells the same in `Upload-Offset`."""
    uploads = Uploads(services.settings.home)
    upload = uploads.get(upload_id)
    return answer(_report(uploads, upload), headers=_headers(uploads, upload))


router.add_api_route("/{upload_id}", get_upload, methods=["HEAD"], include_in_schema=False, dependencies=MAY_READ)


async def _receive(upload_id: str, request: Request, services: ServicesDep) -> Upload:
    uploads = Uploads(services.settings.home)
    upload = uploads.get(upload_id)
    given = request.headers.get("upload-offset", "")
    if not given.isdecimal():
        detail = "say in `Upload-Offset` how many bytes have arrived"
        raise InvalidRequestError(detail, [FieldError(pointer="/Upload-Offset", detail=detail)])
    if upload.artifact is not None:
        return upload
    with uploads.writing(upload) as file:
        if (arrived := file.tell()) != int(given):
            raise ConflictError(f"{arrived:,} bytes have arrived, not {int(given):,}; go on from there")
        await append(request, file, upload.request.size)
    return uploads.get(upload_id)


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=also(202, "That was the last piece: the import has begun.", DatasetReport),
    openapi_extra=PIECE,
    dependencies=MAY_TRAIN,
)
def continue_upload(
    upload: Annotated[Upload, Depends(_receive)], upload_id: UploadId, services: ServicesDep
) -> Response:
    """Appends a piece; what arrives before a connection breaks stays. The last byte makes the dataset (202)."""
    uploads = Uploads(services.settings.home)
    if uploads.offset(upload) < upload.request.size:
        return Response(status_code=204, headers=_headers(uploads, upload))
    return _finish(services, uploads, upload)


@router.delete("/{upload_id}", status_code=204, dependencies=MAY_TRAIN)
def give_up_upload(upload_id: UploadId, services: ServicesDep) -> None:
    """Deletes what has arrived of an upload; a dataset that was made of it stays."""
    uploads = Uploads(services.settings.home)
    upload = uploads.get(upload_id)
    uploads.remove(upload)
    with services.store.read() as session:
        is_used = upload.artifact is None or datasets.uploaded_from(session, upload.artifact) is not None
    if not is_used:
        services.store.artifacts.delete(str(upload.artifact))


def _finish(services: Services, uploads: Uploads, upload: Upload) -> Response:
    """Makes the dataset. Each stage is noted before it is entered, so that after a crash the next call goes on."""
    if upload.dataset is not None:
        with services.store.read() as session:
            return answer(dataset_report(session, datasets.get(session, upload.dataset)), 202)
    artifact = upload.artifact or f"uploads/{new_id()}"
    if uploads.part(upload).exists():
        with uploads.writing(upload):
            _check_name(services, upload.request.name)
            _check_content(uploads, upload)
            uploads.note(upload.model_copy(update={"artifact": artifact}))
            services.store.artifacts.put(artifact, uploads.second_name(upload))
            uploads.part(upload).unlink()
    made = once(services, None, "", lambda session: _dataset(session, upload.request, artifact))
    with services.store.read() as session:
        dataset_id = datasets.get(session, upload.request.name).id
    uploads.note(upload.model_copy(update={"artifact": artifact, "dataset": dataset_id}))
    return made


def _check_content(uploads: Uploads, upload: Upload) -> None:
    wanted = upload.request.sha256
    if wanted is not None and (found := sha256_of(uploads.part(upload))) != wanted:
        uploads.remove(upload)
        detail = f"what has arrived has the SHA-256 {found}, not {wanted}; it is deleted, begin again"
        raise InvalidRequestError(detail, [FieldError(pointer="/sha256", detail=detail)])


def _check_name(services: Services, name: str) -> None:
    with services.store.read() as session:
        datasets.check_name(session, name)


def _dataset(session: Session, request: UploadRequest, artifact: str) -> Made:
    """The new dataset; the one that this upload has made already, where a crash kept that from being noted."""
    row = datasets.uploaded_from(session, artifact)
    if row is None:
        source = UploadSource(kind="upload", filename=request.filename, artifact=artifact, options=request.options)
        row = datasets.create(session, request.name, source)
    return Made(dataset_report(session, row), location=f"/v1/datasets/{row.id}", startable=[row.job_id])


def _report(uploads: Uploads, upload: Upload) -> UploadReport:
    request = upload.request
    return UploadReport(
        id=upload.id,
        name=request.name,
        filename=request.filename,
        size=request.size,
        sha256=request.sha256,
        offset=uploads.offset(upload),
        dataset=upload.dataset,
    )


def _headers(uploads: Uploads, upload: Upload) -> dict[str, str]:
    length = {"Upload-Offset": str(uploads.offset(upload)), "Upload-Length": str(upload.request.size)}
    return length | {"Cache-Control": "no-store"}
