"""Large files in pieces: begin an upload, ask how much has arrived, send the rest; the last byte starts the import.

The protocol is tus's core: `HEAD` tells `Upload-Offset`, `PATCH` with the same `Upload-Offset` appends.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from service.access.identities import check_owner
from service.api.auth import MAY_READ, MAY_TRAIN, CallerDep
from service.api.deps import ServicesDep, notifying
from service.api.http.request_bodies import receive_file
from service.api.http.responses import also, answer
from service.api.http.strict_route import StrictRoute
from service.datasets.reports import dataset_report
from service.datasets.uploads import Upload, Uploads
from service.jobs import queue
from service.reports.dataset import DatasetReport, UploadReport
from service.specs.dataset import UploadRequest

router = APIRouter(prefix="/uploads", tags=["datasets"], route_class=StrictRoute)
UploadId = Annotated[str, Path(max_length=100, description="Id of an upload.")]
PIECE_TYPE = "application/offset+octet-stream"
PIECE: dict[str, Any] = {
    "requestBody": {
        "required": False,  # a piece may be empty
        "content": {PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Offset = Annotated[
    int, Header(alias="Upload-Offset", ge=0, lt=2**63, description="Bytes that have arrived, else the answer is 409.")
]


@router.post("", status_code=201, response_model=UploadReport, dependencies=MAY_TRAIN)
def begin_upload(request: UploadRequest, services: ServicesDep, caller: CallerDep) -> Response:
    """Begins an upload in pieces; with the `sha256` of an upload that broke off, that one goes on."""
    uploads = Uploads(services.store)
    report = uploads.report(uploads.begin(request, caller.name))
    return answer(report, 201, _headers(report) | {"Location": f"/v1/uploads/{report.id}"})


@router.get("/{upload_id}", response_model=UploadReport, dependencies=MAY_READ)
def get_upload(upload_id: UploadId, services: ServicesDep) -> Response:
    """How much of an upload has arrived; `HEAD` tells the same in `Upload-Offset`."""
    uploads = Uploads(services.store)
    report = uploads.report(uploads.get(upload_id))
    return answer(report, headers=_headers(report))


def _own_upload(upload_id: UploadId, services: ServicesDep, caller: CallerDep) -> Upload:
    upload = Uploads(services.store).get(upload_id)
    check_owner(caller, upload.owner, f"The upload {upload_id}")
    return upload


OwnUpload = Annotated[Upload, Depends(_own_upload)]


async def _receive(upload: OwnUpload, offset: Offset, request: Request, services: ServicesDep) -> Upload:
    uploads = Uploads(services.store)
    if upload.artifact is None:
        with uploads.continuing(upload, offset) as part:
            await receive_file(request, part)
    return uploads.get(upload.id)


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=also(202, "That was the last piece: the import has begun.", DatasetReport),
    openapi_extra=PIECE,
    dependencies=MAY_TRAIN,
)
def continue_upload(upload: Annotated[Upload, Depends(_receive)], services: ServicesDep) -> Response:
    """Appends a piece; what arrives before a connection breaks stays. The last byte makes the dataset (202)."""
    uploads = Uploads(services.store)
    report = uploads.report(upload)
    if report.offset < report.size:
        return Response(status_code=204, headers=_headers(report))
    with services.store.read() as session:
        queue.refuse_when_full(session, services.settings)
    row = uploads.finish(upload)
    with services.store.read() as session:
        dataset = dataset_report(session, row)
    return answer(dataset, 202, {"Location": f"/v1/datasets/{row.id}"}, notifying(services, [row.job_id]))


@router.delete("/{upload_id}", status_code=204, dependencies=MAY_TRAIN)
def give_up_upload(upload: OwnUpload, services: ServicesDep) -> None:
    """Deletes what has arrived of an upload; a dataset that was made of it stays."""
    Uploads(services.store).give_up(upload)


def _headers(report: UploadReport) -> dict[str, str]:
    length = {"Upload-Offset": str(report.offset), "Upload-Length": str(report.size)}
    return length | {"Cache-Control": "no-store"}
