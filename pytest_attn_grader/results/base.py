"""Base class and number types of the report: frozen, strict, and JSON without loss."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def encode_non_finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, by the words "nan", "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, (list, tuple)):
        return [encode_non_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: encode_non_finite(item) for key, item in value.items()}
    return value


EvidenceValue = Annotated[
    float | int | bool | str | list[Any] | dict[str, Any] | None, BeforeValidator(encode_non_finite)
]
Number = Annotated[float | Literal["nan", "inf", "-inf"], BeforeValidator(encode_non_finite)]
Matrix = list[list[Number]]


class FrozenModel(BaseModel):
    """A pydantic model that is immutable and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
