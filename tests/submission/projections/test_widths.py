"""The dimension adapter: one head at a time in a module of another width, exact while the text is short enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.submission import layer_block as block_module
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.layer_block import StudentBlock
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.projections.matrices import Projections
from pytest_attn_grader.submission.projections.widths import fit_width, reduce_head_dim

if TYPE_CHECKING:
    from tests.support.students import Workshop

HIDDEN_SIZE, NUM_HEADS, HEAD_DIM = 768, 12, 64  # distilgpt2's
FIXED = """
import torch
from torch import nn

class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x, mask=None):
        scores = self.q(x) @ self.k(x).mT / WIDTH ** 0.5
        return scores.masked_fill(~mask, -1e9).softmax(-1) @ self.v(x)
"""


def layer(seed: int = 0) -> Projections:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * HIDDEN_SIZE**-0.5

    inputs = [random(HIDDEN_SIZE, NUM_HEADS, HEAD_DIM) for _ in range(3)]
    biases = [random(NUM_HEADS, HEAD_DIM) for _ in range(3)]
    return Projections(*inputs, *biases, random(NUM_HEADS, HEAD_DIM, HIDDEN_SIZE), random(HIDDEN_SIZE))


@pytest.mark.parametrize(("width", "tokens"), [(64, 6), (64, 63), (32, 31), (48, 20), (128, 63)])
def test_it_is_exact_forward_and_backward(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, width: int, tokens: int
) -> None:
    # Outside a model nobody asks for the weights.
    monkeypatch.setattr(block_module, "attention_weights_requested", lambda _: True)
    student = workshop.student(FIXED.replace("WIDTH", str(width)))
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    projections = layer()
    shape = attention.oracle.shape_for(NUM_HEADS, HEAD_DIM)
    block = StudentBlock(attention.oracle, shape, projections, projects_output=True)
    hidden_states = torch.randn(1, tokens, HIDDEN_SIZE, generator=torch.Generator().manual_seed(2)).requires_grad_()
    keep_mask = causal_keep_mask(tokens)[None, None]
    output, attn_weights = block(hidden_states, keep_mask)

    exact = hidden_states.detach().clone().requires_grad_()
    reference, reference_weights = reference_attention(*projections.query_key_value(exact), keep_mask)
    reference = projections.project_output(reference)
    assert float((output - reference).detach().abs().max()) <= 1e-5
    assert attn_weights is not None
    assert float((attn_weights - reference_weights).detach().abs().max()) <= 1e-5
    assert block.residual == 0.0
    upstream = torch.randn_like(reference)
    (gradient,) = torch.autograd.grad(output, hidden_states, upstream)
    (reference_gradient,) = torch.autograd.grad(reference, exact, upstream)
    assert float((gradient - reference_gradient).abs().max()) <= 1e-4


def test_longer_texts_lose_the_least_that_can_be_lost() -> None:
    hidden_states = torch.randn(1, 100, HIDDEN_SIZE)
    narrow, fitted, residual = fit_width(hidden_states, layer(), 64)
    assert narrow.shape == (1, 100, 64)
    assert fitted.w_q.shape == (64, NUM_HEADS, HEAD_DIM)
    sizes = torch.linalg.svdvals(hidden_states[0])
    assert residual == pytest.approx(float(sizes[63:].norm() / sizes.norm()), rel=1e-4)


def test_scores_in_fewer_dimensions() -> None:
    query, key = torch.randn(2, 1, 3, 10, 64, dtype=torch.float64)
    for head_dim, loses in ((10, False), (6, True)):
        few_query, few_key, lost = reduce_head_dim(query, key, head_dim)
        assert few_query.shape[-1] == few_key.shape[-1] == head_dim
        assert (lost > 0) is loses
        scores, few = query @ key.mT / 8, few_query @ few_key.mT / head_dim**0.5
        assert loses or torch.allclose(scores, few)


def test_more_tokens_than_dimensions_keep_what_says_most(workshop: Workshop) -> None:
    """Heads of 64 in a module of 32: 50 tokens that lie in 8 dimensions still fit, whatever their number."""
    student = workshop.student(FIXED.replace("WIDTH", "32"))
    attention = fit(student, student.contract, seed=1)
    assert isinstance(attention, ModuleAttention)
    generator = torch.Generator().manual_seed(3)
    few = torch.randn(1, 4, 50, 8, generator=generator)
    query, key, value = (few @ torch.randn(8, 64, generator=generator) * 8**-0.5 for _ in range(3))
    keep_mask = causal_keep_mask(50)[None, None]
    heads = attention.heads
    output, _ = heads.attend(query, key, value, keep_mask)
    reference, _ = reference_attention(query, key, value, keep_mask)
    assert float((output - reference).abs().max()) <= 1e-5
    assert heads.stats.residual <= 1e-6
    query, key, value = (torch.randn(1, 4, 50, 64, generator=generator) for _ in range(3))
    heads.attend(query, key, value, keep_mask)
    assert 0 < heads.stats.residual < 0.7
