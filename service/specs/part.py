"""What every part of a spec shares: frozen, and unknown fields are refused with the nearest known name."""

import difflib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from service.docstrings import describe_fields


class Part(BaseModel):
    """A frozen piece of a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_nearest_field(cls, value: Any) -> Any:
        """Refuses an unknown field and suggests the known one that reads most like it."""
        if not isinstance(value, dict):
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in value:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
                hint = f"did you mean `{near[0]}`?" if near else "known fields: " + ", ".join(sorted(known))
                raise PydanticCustomError(
                    "unknown_field", "unknown field `{name}`; {hint}", {"name": str(name), "hint": hint}
                )
        return value

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self).model_validate(self.model_dump(exclude=set(changes)) | changes)


class FromJob(Part):
    """A value taken from the result of an earlier job, once that has succeeded."""

    from_job: str
    """Id of the job: an `lr-find` for a learning rate, a `train` for weights, a `batch-size` for a batch size."""
