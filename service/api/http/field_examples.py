"""An example of every field of the contract: its default, one of its values, or what its type and bounds allow."""

from typing import Any

TIME = "2026-03-01T12:00:00Z"
ID = "019536a2-7c1e-7b3a-9d52-4f0c8a6e1b77"
NUMBERS: tuple[float, ...] = (1, 0.5, 0.1)
"""The first that lies within a field's bounds is its example."""


Schemas = dict[str, dict[str, Any]]


def add_examples(schemas: Schemas) -> None:
    """Writes an example into each property that has none."""
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "examples" not in field:
                field["examples"] = [_example(name, field, schemas)]


def _example(name: str, field: dict[str, Any], schemas: Schemas) -> Any:
    match field:
        case {"default": str() | int() | float() | list() as default}:
            return default
        case {"const": value} | {"enum": [value, *_]} | {"examples": [value, *_]}:
            return value
        case {"$ref": str(address)}:
            return _example(name, schemas[address.rpartition("/")[2]], schemas)
        case {"anyOf": [option, *_]} | {"oneOf": [option, *_]}:
            return _example(name, option, schemas)
        case {"type": "boolean"}:
            return True
        case {"type": "integer" | "number" as kind}:
            return _number(field, kind == "integer")
        case {"type": "string"}:
            return _text(name, field)
        case {"prefixItems": items}:
            return [_example(name, item, schemas) for item in items]
        case {"items": items}:
            return [_example(name.removesuffix("s"), items, schemas)] * field.get("minItems", 1)
        case {"properties": fields}:
            needed = {*field.get("required", []), *(name for name in fields if "const" in fields[name])}
            return {name: _example(name, part, schemas) for name, part in fields.items() if name in needed}
        case {"additionalProperties": dict(values)}:
            return {"name": _example(name, values, schemas)}
    return {}


def _number(field: dict[str, Any], is_integer: bool) -> float | None:
    low = max(field.get("minimum", -1e99), field.get("exclusiveMinimum", -1e99))
    high = min(field.get("maximum", 1e99), field.get("exclusiveMaximum", 1e99))
    fitting = (number for number in NUMBERS if low <= number <= high and number not in (low, high))
    number = next(fitting, field.get("minimum", field.get("maximum")))
    return int(number) if is_integer and number is not None else number


def _text(name: str, field: dict[str, Any]) -> str:
    if field.get("format") == "date-time":
        return TIME
    named = {"id": ID, "job": ID, "parent": ID, "from_job": ID, "sha256": "9f" * 32, "hash": "9f" * 32}
    return named.get(name, name.replace("_", "-") or "text")
