"""The three ways to hand in a dataset in one request (JSON, multipart form, raw body), as FastAPI dependencies."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from service.api.deps import ServicesDep
from service.api.http.request_bodies import Form, receive_file, receive_form, receive_json
from service.datasets.uploads import Uploads
from service.errors import FieldError, InvalidRequestError
from service.specs.dataset import DatasetRequest, UploadFields

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class ReceivedFile:
    """A file that has arrived, and what shall become of it; deleted after the request unless it was moved elsewhere."""

    fields: UploadFields
    path: Path


async def _receive(request: Request, services: ServicesDep) -> AsyncIterator[DatasetRequest | ReceivedFile]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        yield validate_body(DatasetRequest, await receive_json(request))
        return
    with Uploads(services.store).receiving() as part:
        fields = _fields_of(await receive_form(request, part))
        yield ReceivedFile(fields, part.path)


async def _receive_raw(dataset: str, request: Request, services: ServicesDep) -> AsyncIterator[ReceivedFile]:
    query = request.query_params
    if not query.get("filename"):
        detail = f"say the file's name, as in PUT /v1/datasets/{dataset}?filename=data.csv"
        raise InvalidRequestError(detail, [FieldError(pointer="/filename", detail=detail)])
    given = {"name": dataset, "filename": query["filename"], "options": _options(query.get("options"))}
    fields = validate_body(UploadFields, given)
    with Uploads(services.store).receiving() as part:
        await receive_file(request, part)
        yield ReceivedFile(fields, part.path)


# The scope: what is left of a file is deleted before the answer is out.
DatasetBody = Annotated[DatasetRequest | ReceivedFile, Depends(_receive, scope="function")]
RawFile = Annotated[ReceivedFile, Depends(_receive_raw, scope="function")]


def _fields_of(form: Form) -> UploadFields:
    if form.filename is None:
        raise InvalidRequestError("the form has no file; its field is called `file`")
    fields: dict[str, Any] = {**form.fields, "filename": Path(form.filename).name}
    if "options" in fields:
        fields["options"] = _options(fields["options"])
    return validate_body(UploadFields, fields)


def _options(text: str | None) -> Any:
    try:
        return {} if text is None else json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"`options` is not JSON: {error}") from error


def validate_body(model: type[Body], body: Any) -> Body:
    """The body as this model; a fault is told like every other validation error."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults, body=body) from error
