"""What every part of a spec shares: frozen, and unknown fields are refused with what they may have meant."""

from itertools import islice
from typing import Annotated, Any, ClassVar, Self, get_args

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
from pydantic_core.core_schema import ErrorType

from service.docstrings import describe_fields
from service.specs.hints import hint

MAX_WORDS = 200
"""Characters of a name that is looked for or repeated in an answer."""
MOST = 20
"""Unknown fields that are told at once."""
PYDANTIC_ERRORS = frozenset(get_args(ErrorType))
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


def or_null(part: Any, off: BaseModel) -> BeforeValidator:
    """Takes null for `off`, the value that a part has when it is switched off."""
    return BeforeValidator(lambda value: off if value is None else value, json_schema_input_type=part | None)


class Part(BaseModel):
    """A frozen piece of a spec."""

    taught: ClassVar[dict[str, str]] = {}
    """Unknown fields of this part, and why nothing sets them."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _check_fields(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Tells all unknown fields at once, with what is wrong in the others, and says what each may have meant.

        Also refuses `"5"` and `true` for numbers and `0` and `"no"` for booleans: what is meant is not ours to guess.
        """
        if not isinstance(value, dict):
            return validate(value)
        names = {field.alias or name: name for name, field in cls.model_fields.items()}
        unknown = [_unknown_field(cls, name) for name in islice((name for name in value if name not in names), MOST)]
        try:
            part = validate({name: value[name] for name in value if name in names} if unknown else value)
        except ValidationError as error:
            if not unknown:
                raise
            hints = "".join(str(fault["type"]) for fault in unknown)
            others = [_line(line) for line in error.errors(include_url=False) if not _is_missed(line, hints)]
            raise ValidationError.from_exception_data(cls.__name__, [*unknown, *others]) from None
        faults = ((name, _mistaken(value[name], getattr(part, names[name]))) for name in value if name in names)
        wrong = [_other_value(name, value[name], fault) for name, fault in faults if fault is not None]
        if errors := [*unknown, *wrong]:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return part

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self).model_validate(self.model_dump(exclude=set(changes)) | changes)


def _mistaken(given: Any, valid: Any) -> str | None:
    """What should have been there where a value, or one inside a list or an object, changed its type or has a NUL."""
    if isinstance(given, list) and isinstance(valid, list | tuple):
        return next(filter(None, map(_mistaken, given, valid)), None)
    if isinstance(given, dict) and isinstance(valid, dict):
        texts = (_mistaken(name, name) for name in given)
        return next(filter(None, (*texts, *(_mistaken(given.get(name), part) for name, part in valid.items()))), None)
    if isinstance(given, str) and "\0" in given:
        return "text without a NUL character"
    if isinstance(valid, bool):
        return None if isinstance(given, bool) else "true or false"
    return "a number" if isinstance(valid, int | float) and isinstance(given, bool | str) else None


def _unknown_field(part: type["Part"], name: object) -> InitErrorDetails:
    word = str(name)[:MAX_WORDS]
    context = {"name": word, "hint": part.taught.get(word) or hint(part, word)}
    message = PydanticCustomError("unknown_field", "unknown field `{name}`; {hint}", context)
    return InitErrorDetails(type=message, loc=(), input=None)


def _other_value(name: str, given: Any, expected: str) -> InitErrorDetails:
    message = PydanticCustomError("other_type", "Input should be {expected}", {"expected": expected})
    return InitErrorDetails(type=message, loc=(name,), input=given)


def _is_missed(error: Any, hints: str) -> bool:
    """Whether a field is missing only because its name was mistyped, as the hints say."""
    return error["type"] == "missing" and f"did you mean `{error['loc'][-1]}`?" in hints


def _line(error: Any) -> InitErrorDetails:
    """An error that was caught, as one to raise again."""
    kind, context = error["type"], error.get("ctx", {})
    message = kind if kind in PYDANTIC_ERRORS else PydanticCustomError(kind, error["msg"], context)
    return InitErrorDetails(type=message, loc=error["loc"], input=error["input"], ctx=context)


class FromJob(Part):
    """A value taken from the result of an earlier job, once that has succeeded."""

    from_job: Reference
    """Id of the job: an `lr-find` for a learning rate, a `train` for weights, a `batch-size` for a batch size."""
