"""Weights that several projections or several heads share: a model's layer has separate ones, so they have no place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.role_patterns import role_of_parameter
from pytest_attn_grader.submission.remote.messages import RemoteModule, RemoteParameter

_PROJECTIONS = frozenset({"q", "k", "v", "o", "qkv", "kv"})


class SharedWeightsError(SubmissionError):
    """One layer or head stands in several places: the module is wrong, however right a function beside it is."""


def require_separate_weights(module: RemoteModule, name: str) -> None:
    """Refuse a module in which one layer, or one head, stands in several places.

    Raises:
        SharedWeightsError: `no-target`, it names the places and what shares their weights.
    """
    shapes = {each.name: each.shape for each in module.parameters}
    for names in module.shared:
        if len(shapes.get(names[0], ())) < 2:
            continue
        layers = _folders(names)
        in_list = [each for each in layers if re.sub(r"\d+", "#", each) == re.sub(r"\d+", "#", layers[0])]
        if len(in_list) > 1:
            raise _in_every_place(name, in_list, shapes[names[0]])
        roles = [role_of_parameter(RemoteParameter(each, shapes[names[0]], "", "")) for each in names]
        if len(_PROJECTIONS & {role for role in roles if role is not None}) > 1:
            raise _under_several_names(name, layers)


def _folders(names: Sequence[str]) -> list[str]:
    """The layers that a parameter is in, by the names of the module that lead to it."""
    return [each.removesuffix(".weight") for each in names]


def _in_every_place(name: str, places: Sequence[str], shape: tuple[int, ...]) -> SharedWeightsError:
    numbers = [re.findall(r"\d+", each) for each in places]
    depth = next(index for index, parts in enumerate(zip(*numbers, strict=True)) if len(set(parts)) > 1)
    before = ["".join(re.split(r"(\d+)", each)[: 2 * depth + 2]) for each in places]
    what = "layer" if before == list(places) else "head"
    return SharedWeightsError(
        "no-target",
        f"{name} has one {what} in several places: {', '.join(before[:-1])} and {before[-1]} are the same object, and "
        f"share their weights ({places[0]} is {shape}). In a model's layer each has separate weights.",
        remedy=f"Make a new {what} for each place: [make() for _ in range(n)], or copy.deepcopy(it) in the loop. "
        f"[it] * n and [it for _ in range(n)] repeat one object.",
    )


def _under_several_names(name: str, layers: Sequence[str]) -> SharedWeightsError:
    return SharedWeightsError(
        "no-target",
        f"{name} has one layer under several names: {', '.join(layers[:-1])} and {layers[-1]} are the same object, and "
        "share their weights. In a model's layer query, key and value have separate weights.",
        remedy=f"Make a layer for each name: {layers[0]} = nn.Linear(…), then {layers[-1]} = nn.Linear(…). "
        "a = b = nn.Linear(…) makes one.",
    )
