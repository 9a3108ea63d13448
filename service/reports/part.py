"""What every report shares: frozen, and its JSON keeps to the contract (non-finite numbers become null)."""

from pydantic import BaseModel, ConfigDict

from service.docstrings import describe_fields


class ReportPart(BaseModel):
    """A frozen piece of a response."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, ser_json_inf_nan="null")
