"""The OpenAPI document: faults, results by kind and examples; and a 3.0 reading of it for the bundled Swagger UI."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.api.http.field_examples import add_examples
from service.api.http.problems import MEDIA_TYPE
from service.errors import Problem
from service.jobs.reports import LONG_FIELDS
from service.reports.result import BatchSizeReport, LrCurve, SanityReport, TrainResult, TuneReport
from service.specs import INTERNAL_KINDS
from service.specs.dataset import DatasetRequest

DESCRIPTION = """
Hand in a job spec; a worker trains the network and says what is wrong with the run, on what evidence, and what to
submit next.

* Lists are `{data, next_cursor}`; pass `cursor` to go on. Times are UTC. Ids sort by time.
* Every fault is `application/problem+json` with `errors[] {pointer, detail}`.
* `Idempotency-Key` on a POST makes it safe to repeat. Bodies may be JSON or YAML (`application/yaml`).
* Answers have an `ETag`: `If-None-Match` gets 304 while nothing has changed. 406 and 415 name the types that fit.
* `GET /v1/jobs/{id}/events` with `Accept: text/event-stream` streams events; `Last-Event-ID` resumes.
"""
# Models that no endpoint's signature mentions.
UNSEEN: tuple[type[BaseModel], ...] = (Problem, DatasetRequest)
RESULTS: dict[str, type[BaseModel]] = {
    "train": TrainResult,
    "lr-find": LrCurve,
    "sanity": SanityReport,
    "batch-size": BatchSizeReport,
    "tune": TuneReport,
}
"""What a job of each kind concludes: the schema of its `result`."""
REF = "#/components/schemas/"
TAGS: list[dict[str, str]] = [
    {"name": "jobs", "description": "Submit, watch, steer."},
    {"name": "results", "description": "What a job measured and concluded."},
    {"name": "findings", "description": "What is wrong, on what evidence, and what to submit next."},
    {"name": "datasets", "description": "Import, look at, delete."},
    {"name": "weights", "description": "Upload start weights, look at what they fit, delete."},
    {"name": "catalog", "description": "What can be used, who works, who waits."},
    {"name": "operations", "description": "For operators."},
]


def operation_id(route: APIRoute) -> str:
    """The endpoint function's name: stable, and a good method name in generated clients."""
    return route.name


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A function for `app.openapi` that builds the document once."""
    built: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not built:
            built.update(_build(app))
        return built

    return openapi


def _build(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        summary=app.summary,
        license_info=app.license_info,
    )
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    for model in (*UNSEEN, *RESULTS.values()):
        described = model.model_json_schema(ref_template=REF + "{model}")
        components.update(described.pop("$defs", {}))
        components[model.__name__] = described
    for name in ("JobReport", "SubmittedJob"):
        _split_by_kind(components, name)
    add_examples(components)
    sent = [operation.get("requestBody") for path in schema["paths"].values() for operation in path.values()]
    for name in _referenced(sent, components):
        for field in components[name].get("properties", {}).values():
            _tell_default(field)
    schema["servers"] = [{"url": "/", "description": "This service"}]
    fault = {
        "description": "What went wrong",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"4XX": fault, "default": fault}
            operation.setdefault("security", [])
    return schema


def _referenced(node: Any, components: dict[str, Any]) -> set[str]:
    """Names of the schemas that this leads to."""
    names: set[str] = set()
    open_nodes = [node]
    while open_nodes:
        match open_nodes.pop():
            case {"$ref": str(address)} if (name := address.removeprefix(REF)) not in names:
                names.add(name)
                open_nodes.append(components[name])
            case dict() as fields:
                open_nodes += fields.values()
            case list() as items:
                open_nodes += items
    return names


def _tell_default(field: dict[str, Any]) -> None:
    """The default in words: as `default` it would make openapi-typescript take the field for required."""
    if "default" in field:
        field["x-default"] = field.pop("default")
        told = f"Default: `{json.dumps(field['x-default'])}`."
        field["description"] = f"{field.get('description', '')}\n\n{told}".strip()


def _split_by_kind(components: dict[str, Any], name: str) -> None:
    """Makes a job one of several schemas, told apart by `kind`, whose `result` is what that kind concludes."""
    job = components[name]
    refs: dict[str, str] = {}
    for kind in (*RESULTS, *INTERNAL_KINDS):
        word = "".join(part.title() for part in kind.split("-"))
        result = {**job["properties"]["result"], **_result(components, kind, word)}
        properties = {**job["properties"], "kind": {"const": kind, "type": "string"}, "result": result}
        title = f"{word}{name}"
        components[title] = {**job, "title": title, "properties": properties}
        refs[kind] = REF + title
    discriminator = {"propertyName": "kind", "mapping": refs}
    components[name] = {"oneOf": [{"$ref": ref} for ref in refs.values()], "discriminator": discriminator}


def _result(components: dict[str, Any], kind: str, word: str) -> dict[str, Any]:
    """The schema of a kind's result; lists of jobs leave its long lists out."""
    if kind not in RESULTS:
        return {}
    report = components[RESULTS[kind].__name__]
    required = [field for field in report["required"] if field not in LONG_FIELDS]
    title = f"{word}JobResult"
    components[title] = {**report, "title": title, "required": required}
    return {"anyOf": [{"$ref": REF + title}, {"type": "null"}]}


def for_swagger_ui(schema: dict[str, Any]) -> dict[str, Any]:
    """The document as OpenAPI 3.0, which is what the bundled Swagger UI 4 can draw."""
    lowered = _lower(schema)
    assert isinstance(lowered, dict)
    return lowered | {"openapi": "3.0.3", "info": {k: v for k, v in schema["info"].items() if k != "summary"}}


def _lower(node: Any) -> Any:
    if isinstance(node, list):
        return [_lower(item) for item in node]
    if not isinstance(node, dict):
        return node
    lowered = {key: _lower(value) for key, value in node.items()}
    if "const" in lowered:
        lowered["enum"] = [lowered.pop("const")]
    if isinstance(lowered.get("examples"), list):
        lowered["example"] = lowered.pop("examples")[0]
    if isinstance(lowered.get("prefixItems"), list):
        lowered["items"] = {"oneOf": lowered.pop("prefixItems")}
    for bound in ("Minimum", "Maximum"):
        limit = lowered.get(f"exclusive{bound}")
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            lowered[bound.lower()], lowered[f"exclusive{bound}"] = limit, True
    return _lower_null(lowered)


def _lower_null(node: dict[str, Any]) -> dict[str, Any]:
    """`anyOf [X, null]` becomes nullable X."""
    options = node.get("anyOf")
    if not isinstance(options, list) or {"type": "null"} not in options:
        return node
    rest = [option for option in options if option != {"type": "null"}]
    others = {key: value for key, value in node.items() if key != "anyOf"}
    if len(rest) == 1 and "$ref" not in rest[0]:
        return {**rest[0], **others, "nullable": True}
    return {**others, ("allOf" if len(rest) == 1 else "anyOf"): rest, "nullable": True}
