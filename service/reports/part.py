"""What every report shares: frozen, and its JSON keeps to the contract (non-finite numbers become null)."""

from pydantic import BaseModel, ConfigDict


class ReportPart(BaseModel):
    """A frozen piece of a response."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null")
