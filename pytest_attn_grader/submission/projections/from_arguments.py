"""A function's parameters as the places of its projections."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_attn_grader.submission.projections.projection_map import ARGUMENT, ParameterRef, ProjectionMap
from pytest_attn_grader.submission.projections.role_patterns import packing_order
from pytest_attn_grader.submission.signatures import Slot


def found_in_arguments(slots: Sequence[Slot], num_heads: int, head_dim: int) -> ProjectionMap:
    """The parameters of a function that takes its projections as arguments. It takes any sizes, so these are passed."""
    by_role = {slot.role: slot.parameter for slot in slots}

    def place(letters: str) -> ParameterRef:
        return ParameterRef(by_role[f"w_{letters}"], (), ARGUMENT, by_role.get(f"b_{letters}"))

    roles = ("qkv",) if "w_qkv" in by_role else ("q", "k", "v")
    return ProjectionMap(
        inputs={role: (place(role),) for role in roles},
        output=place("o") if "w_o" in by_role else None,
        num_heads=num_heads,
        head_dim=head_dim,
        width=0,
        out_features=num_heads * head_dim,
        letters=packing_order(by_role["w_qkv"]) if "w_qkv" in by_role else None,
    )
