"""The contract: stable, complete, and readable by the docs page."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.http.examples import DATASET_EXAMPLES
from service.specs import INTERNAL_KINDS, KINDS

SNAPSHOT = Path(__file__).parent / "openapi.txt"


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method} {path}", op) for path, methods in document["paths"].items() for method, op in methods.items()]


def wordless(node: Any) -> Any:
    """The structure alone: better words are no change of the contract."""
    if isinstance(node, dict):
        words = ("description", "summary", "title", "examples")
        return {name: wordless(value) for name, value in node.items() if name not in words or not is_word(value)}
    return [wordless(item) for item in node] if isinstance(node, list) else node


def is_word(value: Any) -> bool:
    return isinstance(value, str | list) or (
        isinstance(value, dict) and all("summary" in example for example in value.values())
    )


def lines(document: dict[str, Any]) -> str:
    """One line an operation and one a schema, without words: small, and its differences read well."""
    rows = [*operations(document), *document["components"]["schemas"].items()]
    rows = [(name, wordless(schema)) for name, schema in rows]
    return "".join(
        f"{name}: {json.dumps(schema, sort_keys=True, ensure_ascii=False)}\n" for name, schema in sorted(rows)
    )


def test_the_contract_is_the_one_in_the_snapshot(document: dict[str, Any]) -> None:
    """After a change that is meant: `UPDATE_SNAPSHOT=1 pytest tests/service/api/test_openapi.py`."""
    text = lines(document)
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), "the contract changed; see this test's docstring"


def test_every_operation_has_a_unique_id_a_summary_and_a_tag(document: dict[str, Any]) -> None:
    ids = [op["operationId"] for _, op in operations(document)]
    assert len(ids) == len(set(ids))
    for name, op in operations(document):
        assert op["description"], name
        assert op["tags"], name
        assert "application/problem+json" in op["responses"]["default"]["content"], name
        assert "422" not in op["responses"], name


def test_every_kind_has_an_example(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    kinds = {example["value"]["kind"] for example in body["examples"].values()}
    assert kinds == set(KINDS)
    datasets = document["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    assert set(datasets) == {"application/json", "multipart/form-data"}
    assert datasets["application/json"]["examples"].keys() == DATASET_EXAMPLES.keys()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                place: Any = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    place = place[part]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)


def test_every_field_has_an_example_and_every_operation_says_what_a_fault_looks_like(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            assert described["examples"], f"{name}.{field}"
    for name, op in operations(document):
        assert "application/problem+json" in op["responses"]["4XX"]["content"], name
        assert "security" in op, name
    assert document["servers"]


@pytest.mark.parametrize("name", ["JobReport", "SubmittedJob"])
def test_a_jobs_result_is_typed_by_its_kind(document: dict[str, Any], name: str) -> None:
    schemas = document["components"]["schemas"]
    by_kind = schemas[name]["discriminator"]["mapping"]
    assert by_kind.keys() == {*KINDS, *INTERNAL_KINDS}
    curve = schemas[by_kind["lr-find"].rpartition("/")[2]]["properties"]
    assert curve["kind"]["const"] == "lr-find"
    result = schemas[curve["result"]["anyOf"][0]["$ref"].rpartition("/")[2]]
    assert "suggested" in result["required"]
    assert "points" not in result["required"], "lists of jobs leave them out"
    assert "points" in schemas["LrCurve"]["required"]


def test_the_docs_page_gets_openapi_3_0(client: httpx.Client) -> None:
    lowered = client.get("/docs/openapi.json").json()
    assert lowered["openapi"] == "3.0.3"
    text = json.dumps(lowered)
    for word in ('"const"', '"prefixItems"', '{"type": "null"}'):
        assert word not in text
