"""What every part of a spec shares: frozen, and unknown fields are refused with the nearest known name."""

import difflib
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from service.docstrings import describe_fields

MAX_WORDS = 200
"""Characters of a name that is looked for or repeated in an answer."""
Reference = Annotated[str, Field(max_length=100)]
"""Id or name of something that is stored."""
Name = Annotated[str, Field(max_length=MAX_WORDS)]
FilePath = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=1, lt=2**31)]


def at_most(items: int) -> BeforeValidator:
    """Refuses a longer mapping with one fault, before there is one for each of its entries."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > items:
            raise ValueError(f"it has {len(value):,} entries, and may have {items} at most")
        return value

    return BeforeValidator(check)


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
                name = str(name)[:MAX_WORDS]
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean `{near[0]}`?" if near else "known fields: " + ", ".join(sorted(known))
                raise PydanticCustomError(
                    "unknown_field", "unknown field `{name}`; {hint}", {"name": name, "hint": hint}
                )
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _keep_types(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuses `"5"` and `true` for numbers and `0` and `"no"` for booleans: what is meant is not ours to guess."""
        part = validate(value)
        if isinstance(value, dict):
            names = {field.alias or name: name for name, field in cls.model_fields.items()}
            faults = ((key, _mistaken(given, getattr(part, names[key]))) for key, given in value.items())
            if errors := [_other_type(key, value[key], fault) for key, fault in faults if fault is not None]:
                raise ValidationError.from_exception_data(cls.__name__, errors)
        return part

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self).model_validate(self.model_dump(exclude=set(changes)) | changes)


def _mistaken(given: Any, valid: Any) -> str | None:
    """What should have been there where a value, or one inside a list or an object, changed its type."""
    if isinstance(given, list) and isinstance(valid, list | tuple):
        return next(filter(None, map(_mistaken, given, valid)), None)
    if isinstance(given, dict) and isinstance(valid, dict):
        return next(filter(None, (_mistaken(given.get(name), part) for name, part in valid.items())), None)
    if isinstance(valid, bool):
        return None if isinstance(given, bool) else "true or false"
    return "a number" if isinstance(valid, int | float) and isinstance(given, bool | str) else None


def _other_type(name: str, given: Any, expected: str) -> InitErrorDetails:
    message = PydanticCustomError("other_type", "Input should be {expected}", {"expected": expected})
    return InitErrorDetails(type=message, loc=(name,), input=given)


class FromJob(Part):
    """A value taken from the result of an earlier job, once that has succeeded."""

    from_job: Reference
    """Id of the job: an `lr-find` for a learning rate, a `train` for weights, a `batch-size` for a batch size."""
