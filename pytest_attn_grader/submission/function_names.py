"""The roles of the arguments of a function of query, key and value, by their names."""

from __future__ import annotations

from pytest_attn_grader.submission.parameter_names import (
    BLOCK_SIZE,
    GROUP_FLAGS,
    LAYERS,
    RETURN_WEIGHTS,
    SCALES,
    SIZES,
    hidden_states_role,
    role_of,
)
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter
from pytest_attn_grader.submission.size_names import SIZE_NAMES, role_of_size

# Of functions whose keys and values may have fewer heads than queries.
GROUP_NUMBERS = frozenset({"key_value_heads", "group_size"})
GROUP_ROLES = GROUP_NUMBERS | {"is_grouped"}


def role_in_function(name: str) -> str | None:
    role = hidden_states_role(name)
    if role in {"key_padding_mask", "valid_lens"}:
        return role
    plain = name.lower().strip("_")
    if BLOCK_SIZE.fullmatch(plain):
        return "block_size"
    for meaning, names in (
        ("return_weights", RETURN_WEIGHTS),
        ("head_dim", SIZES["head_dim"]),
        ("is_grouped", GROUP_FLAGS),
        ("factor", SCALES),
        ("divisor", SIZE_NAMES["temperature"]),
    ):
        if plain in names:
            return meaning
    if (size := _group_role(name)) is not None:
        return size
    return "mask" if role == "mask" else role_of(name)


def _group_role(name: str) -> str | None:
    size = role_of_size(name.replace("key_value_groups", "rep"))  # transformers' num_key_value_groups is its n_rep
    return size if size in GROUP_ROLES else None


def reads_groups(candidate: Candidate) -> bool:
    """Whether a function reads a number of groups, or of the heads in one, from an object."""
    return any(_group_role(name) for name in candidate.uses)


def is_layer(parameter: Parameter) -> bool:
    """Whether a required argument of a function is the module that calls it, or a configuration."""
    if parameter.has_default or parameter.kind.startswith("var-"):
        return False
    annotation = (parameter.annotation or "").strip("'\"").lower()
    plain = parameter.name.lower().strip("_")
    return plain in LAYERS or role_of_size(plain) == "config" or annotation.endswith(("module", "config", "cfg"))
