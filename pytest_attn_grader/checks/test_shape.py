"""Do output and weights have the right shape, at every batch size, length and head dimension?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks.outputs import observe_long_text

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe


@pytest.mark.parametrize("probe", ["basic", "single", "one-token", "square", "long", "narrow", "limit"])
@pytest.mark.attn_check(
    id="shape", title="output and weights have the right shape: {probe}", needs=("contract.call", "shape[basic]")
)
def test_shape(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, probe: str) -> None:
    if probe == "limit":
        observation = observe_long_text(attn_session, attn_observe, attn_evidence, probe)
    else:
        observation = attn_observe(probe)
    student, inputs = observation.student, observation.probe
    batch_size, num_heads, query_len, head_dim = inputs.query.shape
    key_len = inputs.key.shape[-2]
    output_shape, weights_shape = tuple(observation.attn_output.shape), None
    attn_evidence.record(output_shape=list(output_shape), expected_output_shape=list(inputs.query.shape))
    attn_evidence.check(
        output_shape == (batch_size, num_heads, query_len, head_dim),
        expected=f"attn_output of shape {tuple(inputs.query.shape)}, one vector for every query ({inputs.title})",
        actual=f"attn_output of shape {output_shape}",
        hint="the product weights @ value, and any view, reshape or transpose after it",
    )
    attn_evidence.check(
        observation.attn_output.dtype == inputs.query.dtype,
        expected=f"attn_output in the dtype of the query, {inputs.query.dtype}",
        actual=f"attn_output in {observation.attn_output.dtype}",
        hint="tensors created without dtype=query.dtype, and .float() or .double() without the way back",
    )
    if not student.weights_returned:
        attn_evidence.record(weights="not returned, recovered by feeding the identity as value")
        return
    weights_shape = tuple(observation.attn_weights.shape)
    attn_evidence.record(weights_shape=list(weights_shape))
    attn_evidence.check(
        weights_shape == (batch_size, num_heads, query_len, key_len),
        expected=f"attn_weights of shape {(batch_size, num_heads, query_len, key_len)}, a row for every query",
        actual=f"attn_weights of shape {weights_shape}",
        hint="what is returned second: it should be the softmax of the scores, before the product with value",
    )
