"""Field descriptions out of the docstrings under the fields, read when a JSON schema is asked for.

Pydantic's `use_attribute_docstrings` gives the same text, but reads it while each class is made: a sixth of the API's
start. Only the docs page needs it.
"""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


def describe_fields(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Writes each field's docstring into its property: the `json_schema_extra` of a model's configuration."""
    texts = {name: text for base in reversed(model.__mro__) for name, text in _docstrings(base).items()}
    for name, field in model.model_fields.items():
        described = schema.get("properties", {}).get(field.alias or name)
        if described is not None and name in texts:
            described.setdefault("description", texts[name])


@cache
def _docstrings(cls: type) -> dict[str, str]:
    """The string under each annotated attribute of the class itself; nothing for classes without such."""
    classes = _classes(cls.__module__) if issubclass(cls, BaseModel) and cls is not BaseModel else {}
    body = classes[cls.__qualname__].body if cls.__qualname__ in classes else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes at a module's top level, by name."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
