"""The three ways to hand in a dataset (JSON, multipart form, raw body) as one request."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from service.api.deps import ServicesDep
from service.api.http.request_bodies import Form, receive_form, receive_json, receive_raw
from service.errors import FieldError, InvalidRequestError
from service.specs.dataset import DatasetRequest, PublicSource, UploadFields

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """A file that has arrived, and what shall become of it."""

    fields: UploadFields
    file: Path


@dataclass(frozen=True)
class Described:
    """A source that the service or its operator holds."""

    name: str
    source: PublicSource


async def _receive(request: Request, services: ServicesDep) -> Described | Upload:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        body = await receive_json(request)
        described = _validate(DatasetRequest, body)
        return Described(described.name, described.source)
    return _upload(await receive_form(request, services.settings.home / "uploads"))


async def _receive_raw(dataset: str, request: Request, services: ServicesDep) -> Upload:
    query = request.query_params
    if not query.get("filename"):
        detail = f"say the file's name, as in PUT /v1/datasets/{dataset}?filename=data.csv"
        raise InvalidRequestError(detail, [FieldError(pointer="/filename", detail=detail)])
    given = {"name": dataset, "filename": query["filename"], "options": _options(query.get("options"))}
    fields = _validate(UploadFields, given)
    return Upload(fields, await receive_raw(request, services.settings.home / "uploads"))


DatasetBody = Annotated[Described | Upload, Depends(_receive)]
RawUpload = Annotated[Upload, Depends(_receive_raw)]


def _upload(form: Form) -> Upload:
    if form.file is None or form.filename is None:
        raise InvalidRequestError("the form has no file; its field is called `file`")
    fields: dict[str, Any] = {**form.fields, "filename": Path(form.filename).name}
    if "options" in fields:
        fields["options"] = _options(fields["options"])
    try:
        return Upload(_validate(UploadFields, fields), form.file)
    except RequestValidationError:
        form.file.unlink(missing_ok=True)
        raise


def _options(text: str | None) -> Any:
    try:
        return {} if text is None else json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"`options` is not JSON: {error}") from error


def _validate(model: type[Body], body: Any) -> Body:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults, body=body) from error
