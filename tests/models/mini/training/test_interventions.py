"""Wrong attentions: each against its formula in loops, and put into one layer of a model without a trace afterwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.models.mini.training.interventions import (
    WRONG_ATTENTIONS,
    WrongAttention,
    attend_uniformly,
    forget_mask,
    keys_as_values,
    no_scale,
    patched_attention,
    scramble_heads,
    softmax_over_queries,
)

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

BATCH_SIZE, NUM_HEADS, SEQ_LEN, HEAD_DIM = 3, 2, 5, 4
SCALING = HEAD_DIM**-0.5
IDS = torch.tensor([[466, 857, 1034, 304, 259, 981]])


@pytest.fixture
def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(BATCH_SIZE, NUM_HEADS, SEQ_LEN, HEAD_DIM, generator=generator) for _ in range(3))
    return query, key, value


@pytest.fixture
def additive_mask() -> torch.Tensor:
    future = torch.ones(SEQ_LEN, SEQ_LEN, dtype=torch.bool).triu(1)
    return torch.zeros(1, 1, SEQ_LEN, SEQ_LEN).masked_fill(future, torch.finfo(torch.float32).min)


def attend(scores: list[float], values: torch.Tensor) -> torch.Tensor:
    """Softmax of a row of scores, applied to the first of the values."""
    exponentials = [math.exp(score) for score in scores]
    total = sum(exponentials)
    return sum((e / total * value for e, value in zip(exponentials, values, strict=False)), torch.zeros(HEAD_DIM))


def test_uniform_attention_is_the_mean_of_what_is_seen(
    tensors: tuple[torch.Tensor, ...], additive_mask: torch.Tensor
) -> None:
    query, key, value = tensors
    output = attend_uniformly(query, key, value, additive_mask, SCALING)

    for t in range(SEQ_LEN):
        torch.testing.assert_close(output[:, :, t], value[:, :, : t + 1].mean(dim=2))


@pytest.mark.parametrize(
    ("wrong_attention", "scaling", "sees_future", "takes_keys"),
    [
        (no_scale, 1.0, False, False),
        (forget_mask, SCALING, True, False),
        (keys_as_values, SCALING, False, True),
    ],
)
def test_a_mistake_is_wrong_in_one_respect_only(
    tensors: tuple[torch.Tensor, ...],
    additive_mask: torch.Tensor,
    wrong_attention: WrongAttention,
    scaling: float,
    sees_future: bool,
    takes_keys: bool,
) -> None:
    query, key, value = tensors
    output = wrong_attention(query, key, value, additive_mask, SCALING)

    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in (BATCH_SIZE, NUM_HEADS, SEQ_LEN))).tolist():
        seen = SEQ_LEN if sees_future else t + 1
        scores = [scaling * float(query[b, h, t] @ key[b, h, s]) for s in range(seen)]
        torch.testing.assert_close(output[b, h, t], attend(scores, (key if takes_keys else value)[b, h]))


def test_softmax_over_queries_makes_columns_sum_to_one(
    tensors: tuple[torch.Tensor, ...], additive_mask: torch.Tensor
) -> None:
    query, key, _ = tensors
    # with the identity as value the output is the weights
    value = torch.eye(SEQ_LEN).expand(BATCH_SIZE, NUM_HEADS, SEQ_LEN, SEQ_LEN)
    weights = softmax_over_queries(query, key, value, additive_mask, SCALING)

    torch.testing.assert_close(weights.sum(dim=-2), torch.ones(BATCH_SIZE, NUM_HEADS, SEQ_LEN))
    assert not weights.triu(1).any()


def test_scrambled_heads_are_a_view_of_the_unsplit_tensor(
    tensors: tuple[torch.Tensor, ...], additive_mask: torch.Tensor
) -> None:
    def view(split: torch.Tensor) -> torch.Tensor:
        unsplit = split.transpose(1, 2).reshape(BATCH_SIZE, SEQ_LEN, NUM_HEADS * HEAD_DIM)
        return unsplit.view(BATCH_SIZE, NUM_HEADS, SEQ_LEN, HEAD_DIM)

    query, key, value = tensors
    expected = (view(query) @ view(key).mT * SCALING + additive_mask).softmax(-1) @ view(value)

    torch.testing.assert_close(scramble_heads(query, key, value, additive_mask, SCALING), expected)


@pytest.mark.parametrize("name", WRONG_ATTENTIONS)
def test_a_broken_layer_changes_the_model_and_leaves_no_trace(model: GPT2LMHeadModel, name: str) -> None:
    with torch.inference_mode():
        before = model(IDS).logits
        with patched_attention(model, WRONG_ATTENTIONS[name], layer_idx=1):
            broken = model(IDS).logits
        after = model(IDS).logits

    assert not torch.allclose(before, broken)
    assert torch.equal(before, after)
    assert model.transformer.h[1].attn.config is model.config


def test_a_broken_layer_is_mended_after_an_error(model: GPT2LMHeadModel) -> None:
    with pytest.raises(KeyError), patched_attention(model, attend_uniformly):
        raise KeyError

    assert not hasattr(model.transformer.h[0].attn, "mini_intervention")
    assert model.transformer.h[0].attn.config is model.config


def test_a_right_attention_put_in_changes_nothing_so_the_mask_arrives(model: GPT2LMHeadModel) -> None:
    def attend_rightly(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        return (query @ key.transpose(-2, -1) * scaling + additive_mask).softmax(dim=-1) @ value

    with torch.inference_mode():
        expected = model(IDS).logits
        with patched_attention(model, attend_rightly):
            torch.testing.assert_close(model(IDS).logits, expected)
