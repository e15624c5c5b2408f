"""Sizes that no model has are the submission's fault, and the grader makes no matrices of them."""

from __future__ import annotations

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.projection_map import ParameterRef
from pytest_attn_grader.submission.projections.sizes import resolve_sizes


@pytest.mark.parametrize("shape", [(0, 64), (0, 0), (1, 1 << 20), (1 << 14, 1 << 14), (1 << 40, 1, 1)])
@pytest.mark.parametrize("heads", [None, 4])
def test_a_size_that_no_model_has(shape: tuple[int, ...], heads: int | None) -> None:
    by_role = {role: [ParameterRef(f"{role}_proj.weight", shape, "Linear")] for role in "qkvo"}
    with pytest.raises(SubmissionError, match=r"q_proj\.weight of shape") as caught:
        resolve_sizes(by_role, "Attention", heads, None)
    assert caught.value.name == "no-target"
