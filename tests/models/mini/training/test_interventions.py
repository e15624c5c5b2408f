"""Wrong attentions: each against its formula in loops, and in one layer of a copy of a model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.models.mini.model import MINI_LLAMA_SIZE, build_model
from pytest_attn_grader.models.mini.training.interventions import (
    WRONG_ATTENTIONS,
    WrongAttention,
    attend_uniformly,
    break_first_layer,
    keys_as_values,
    no_mask,
    no_scale,
    patch_layer,
    remove_rotation,
    scramble_heads,
    softmax_over_queries,
    tile_groups,
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
def keep_mask() -> torch.Tensor:
    return torch.ones(SEQ_LEN, SEQ_LEN, dtype=torch.bool).tril()[None, None]


def attend(scores: list[float], values: torch.Tensor) -> torch.Tensor:
    """Softmax of a row of scores, applied to the first of the values."""
    exponentials = [math.exp(score) for score in scores]
    total = sum(exponentials)
    return sum((e / total * value for e, value in zip(exponentials, values, strict=False)), torch.zeros(HEAD_DIM))


def test_uniform_attention_is_the_mean_of_what_is_seen(
    tensors: tuple[torch.Tensor, ...], keep_mask: torch.Tensor
) -> None:
    query, key, value = tensors
    output = attend_uniformly(query, key, value, keep_mask)

    for t in range(SEQ_LEN):
        torch.testing.assert_close(output[:, :, t], value[:, :, : t + 1].mean(dim=2))


@pytest.mark.parametrize(
    ("wrong_attention", "scaling", "sees_future", "takes_keys"),
    [
        (no_scale, 1.0, False, False),
        (no_mask, SCALING, True, False),
        (keys_as_values, SCALING, False, True),
    ],
)
def test_a_mistake_is_wrong_in_one_respect_only(
    tensors: tuple[torch.Tensor, ...],
    keep_mask: torch.Tensor,
    wrong_attention: WrongAttention,
    scaling: float,
    sees_future: bool,
    takes_keys: bool,
) -> None:
    query, key, value = tensors
    output = wrong_attention(query, key, value, keep_mask)

    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in (BATCH_SIZE, NUM_HEADS, SEQ_LEN))).tolist():
        seen = SEQ_LEN if sees_future else t + 1
        scores = [scaling * float(query[b, h, t] @ key[b, h, s]) for s in range(seen)]
        torch.testing.assert_close(output[b, h, t], attend(scores, (key if takes_keys else value)[b, h]))


def test_softmax_over_queries_makes_columns_sum_to_one(
    tensors: tuple[torch.Tensor, ...], keep_mask: torch.Tensor
) -> None:
    query, key, _ = tensors
    # with the identity as value the output is the weights
    value = torch.eye(SEQ_LEN).expand(BATCH_SIZE, NUM_HEADS, SEQ_LEN, SEQ_LEN)
    weights = softmax_over_queries(query, key, value, keep_mask)

    torch.testing.assert_close(weights.sum(dim=-2), torch.ones(BATCH_SIZE, NUM_HEADS, SEQ_LEN))
    assert not weights.triu(1).any()


def test_scrambled_heads_are_a_view_of_the_unsplit_tensor(
    tensors: tuple[torch.Tensor, ...], keep_mask: torch.Tensor
) -> None:
    def view(split: torch.Tensor) -> torch.Tensor:
        unsplit = split.transpose(1, 2).reshape(BATCH_SIZE, SEQ_LEN, NUM_HEADS * HEAD_DIM)
        return unsplit.view(BATCH_SIZE, NUM_HEADS, SEQ_LEN, HEAD_DIM)

    query, key, value = tensors
    expected = (view(query) @ view(key).mT * SCALING).masked_fill(~keep_mask, -torch.inf).softmax(-1) @ view(value)

    torch.testing.assert_close(scramble_heads(query, key, value, keep_mask), expected)


def test_tiled_groups_give_query_heads_the_wrong_key_heads(keep_mask: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(1, 4, SEQ_LEN, HEAD_DIM, generator=generator)
    grouped = torch.randn(1, 2, SEQ_LEN, HEAD_DIM, generator=generator)
    repeated = grouped.repeat_interleave(2, dim=1)
    tiled = grouped[:, [0, 1, 0, 1]]
    expected = (query @ tiled.mT * SCALING).masked_fill(~keep_mask, -torch.inf).softmax(-1) @ tiled

    torch.testing.assert_close(tile_groups(query, repeated, repeated, keep_mask, group_size=2), expected)


@pytest.mark.parametrize("name", WRONG_ATTENTIONS)
def test_a_patched_copy_computes_something_else_and_the_model_stays(model: GPT2LMHeadModel, name: str) -> None:
    with torch.inference_mode():
        before = model(IDS).logits
        broken = patch_layer(model, WRONG_ATTENTIONS[name], layer_idx=1)(IDS).logits
        after = model(IDS).logits

    assert not torch.allclose(before, broken)
    assert torch.equal(before, after)


def test_a_right_attention_put_in_changes_nothing_so_the_mask_arrives(model: GPT2LMHeadModel) -> None:
    def attend_rightly(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, keep_mask: torch.Tensor
    ) -> torch.Tensor:
        return (query @ key.mT * query.shape[-1] ** -0.5).masked_fill(~keep_mask, -torch.inf).softmax(dim=-1) @ value

    with torch.inference_mode():
        torch.testing.assert_close(patch_layer(model, attend_rightly)(IDS).logits, model(IDS).logits)


def test_only_a_llama_can_lack_its_rotation_and_tile_its_groups(model: GPT2LMHeadModel) -> None:
    llama = build_model(MINI_LLAMA_SIZE).eval()
    llama.set_attn_implementation("eager")

    assert set(break_first_layer(llama)) - set(break_first_layer(model)) == {"no rotation", "tiled groups"}
    with torch.inference_mode():
        before = llama(IDS).logits
        broken = [one(IDS).logits for one in break_first_layer(llama).values()]
        after = llama(IDS).logits
    assert torch.equal(before, after)
    assert not any(torch.allclose(before, logits) for logits in broken)


def test_without_rotation_the_order_of_earlier_tokens_does_not_matter() -> None:
    llama = build_model(replace(MINI_LLAMA_SIZE, num_layers=1)).eval()
    llama.set_attn_implementation("eager")
    swapped = IDS[:, [1, 0, 2, 3, 4, 5]]
    with torch.inference_mode():
        flat = remove_rotation(llama)
        torch.testing.assert_close(flat(IDS).logits[:, -1], flat(swapped).logits[:, -1])
        assert not torch.allclose(llama(IDS).logits[:, -1], llama(swapped).logits[:, -1])
