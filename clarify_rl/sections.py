"""What all sections of a configuration share: no unknown keys, no change once loaded, and a few kinds of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Options = dict[str, Any]  # Any: passed through untouched to the library or plugin that owns these names
CONTINUE: Literal["continue"] = "continue"
Lora = Literal["continue"] | Options | None
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """One section: an unknown key is an error, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MixConfig(Section):
    """How many variants to make, and of which kinds.

    `missing` maps a number of missing facts to its weight among unclear variants; `defects` weighs what befalls each.
    """

    count: int = Field(100, ge=1)
    clear_share: Share = 0.5
    missing: dict[Annotated[int, Field(ge=1)], Weight] = {1: 1.0}
    defects: dict[Literal["ambiguous", "incomplete", "inconsistent"], Weight] = {
        "ambiguous": 1.0,
        "incomplete": 1.0,
        "inconsistent": 1.0,
    }

    @field_validator("missing", "defects")
    @classmethod
    def _some_weight(cls, weights: Mapping[object, float]) -> Mapping[object, float]:
        if not any(weights.values()):
            raise ValueError("give one of these a weight above 0")
        return weights
