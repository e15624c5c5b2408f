"""Wrong attentions in one layer of a copy of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pytest_attn_grader.models.mini.training.checkpoint import MINI_LLAMA_SIZE, build_model
from pytest_attn_grader.models.mini.training.interventions import (
    attend_uniformly,
    break_first_layer,
    patch_layer,
    remove_rotation,
)

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

IDS = torch.tensor([[466, 857, 1034, 304, 259, 981]])


def test_uniform_attention_is_the_mean_of_what_is_seen() -> None:
    query, key, value = torch.randn(3, 3, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    output = attend_uniformly(query, key, value, torch.ones(5, 5, dtype=torch.bool).tril()[None, None])

    for t in range(5):
        torch.testing.assert_close(output[:, :, t], value[:, :, : t + 1].mean(dim=2))


def test_a_patched_copy_computes_something_else_and_the_model_stays(model: GPT2LMHeadModel) -> None:
    with torch.inference_mode():
        before = model(IDS).logits
        broken = patch_layer(model, attend_uniformly, layer_idx=1)(IDS).logits
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
