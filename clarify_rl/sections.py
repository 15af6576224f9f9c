"""What all sections of a configuration share: no unknown keys, no change once loaded, and a few kinds of values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Options = dict[str, Any]  # Any: passed through untouched to the library or plugin that owns these names
CONTINUE: Literal["continue"] = "continue"
Lora = Literal["continue"] | Options | None
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """One section: an unknown key is an error, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
