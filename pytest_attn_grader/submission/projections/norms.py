"""The weights of a module's norms of query and key, found by name, and how they are filled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from pytest_attn_grader.attention.query_key_norm import NormAxis
from pytest_attn_grader.submission.remote.messages import RemoteParameter

_NORM = r"(?:layer|rms|l2)?_?(?:norm|ln|rms)(?:aliz(?:er|ation))?"
_ROLES = {
    role: re.compile(rf"(?:attn_|w_)?(?:{names})_?{_NORM}|{_NORM}_?(?:{names})")
    for role, names in (("q", "q|query|queries|qs"), ("k", "k|key|keys|ks"))
}


@dataclass(frozen=True)
class NormParameters:
    """The weights of the norms of query and key: names of parameters, and how many numbers each has."""

    query: str
    key: str
    query_size: int
    key_size: int


@dataclass(frozen=True)
class NormStyle:
    """A module's QK-norm.

    Attributes:
        over: the axis of the model's norm, which the module's has to have too.
        offset: what the module adds to its parameter: 1 in Gemma's way, otherwise 0.
    """

    over: NormAxis
    offset: int = 0

    def __str__(self) -> str:
        where = "every head" if self.over == "head_dim" else "all heads side by side"
        added = ", with 1 added to its weights" if self.offset else ""
        return f"it normalises query and key over {where}, as the model's layer does{added}"


def find_norms(parameters: Iterable[RemoteParameter]) -> NormParameters | None:
    """The norms of query and key among the parameters that are no projections; None unless there is one of each."""
    found: dict[str, list[RemoteParameter]] = {"q": [], "k": []}
    for parameter in parameters:
        owners = parameter.name.lower().split(".")
        names = [*owners[-2:], re.sub(r"_(?:weight|scale|gain|gamma)$", "", owners[-1])]
        for role, pattern in _ROLES.items():
            is_weight = len(parameter.shape) == 1 and owners[-1] not in {"bias", "beta", "shift"}
            if is_weight and any(pattern.fullmatch(name) for name in names):
                found[role].append(parameter)
    if [len(some) for some in found.values()] != [1, 1]:
        return None
    query, key = found["q"][0], found["k"][0]
    return NormParameters(query.name, key.name, query.shape[0], key.shape[0])


def fill_norms(parameters: NormParameters, style: NormStyle, weights: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Values of the parameters for these weights, ``(1 or heads, 1, head_dim)`` of query and key."""
    sizes = ((parameters.query, parameters.query_size), (parameters.key, parameters.key_size))
    return {
        name: _of_size(weight.flatten(), size) - style.offset
        for (name, size), weight in zip(sizes, weights, strict=True)
    }


def _of_size(weight: Tensor, size: int) -> Tensor:
    """As many numbers as the parameter has: a norm over the wrong axis gets them again for every head, or the first."""
    return weight.repeat(-(-size // weight.numel()))[:size].contiguous()
