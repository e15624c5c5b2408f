"""The signatures of the public functions."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest

from pytest_attn_grader.model_utils import (
    extract_attention_layer,
    extract_attention_weights,
    load_mini_transformer,
    replace_attention_mechanism,
    run_inference_comparison,
)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (load_mini_transformer, {}),
        (extract_attention_layer, {"model": ..., "layer_idx": 0}),
        (replace_attention_mechanism, {"model": ..., "student_attention": ..., "layer_idx": 0}),
        (run_inference_comparison, {"model": ..., "student_model": ..., "prompt": ...}),
        (extract_attention_weights, {"model": ..., "input_ids": ..., "layer_idx": 0}),
    ],
)
def test_the_public_signatures_are_the_ones_that_were_asked_for(function: Any, signature: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: ... if p.default is p.empty else p.default for p in parameters} == signature
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    assert "return" in get_type_hints(function)
    assert "Raises:" in function.__doc__
