"""What an attention in a layer is called with: heads, masks, positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.model_utils import (
    patched_model,
    replace_attention_mechanism,
)
from pytest_attn_grader.models.patching.dispatch import INTERFACE_NAME
from tests.support.small_models import (
    CAUSAL,
    CONFIGS,
    NUM_HEADS,
    NUM_LAYERS,
    TOLERANCES,
    acausal_attention,
    close,
    output_only,
    padding_mask,
    plain_reference,
    tokens,
)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_attention_gets_contiguous_heads_and_a_boolean_mask(models: dict[str, Any], name: str) -> None:
    calls = []

    def recording(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        calls.append((query, key, value, keep_mask))
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(models[name], recording, 1)
    with torch.no_grad():
        patched(tokens())
        patched(tokens(), attention_mask=padding_mask("right"))
    assert len(calls) == 2
    head_dim = 16 if name == "qwen3" else 8
    for query, key, value, keep_mask in calls:
        assert query.shape == key.shape == value.shape == (3, NUM_HEADS, 7, head_dim)
        assert all(tensor.is_contiguous() for tensor in (query, key, value, keep_mask))
        assert keep_mask.dtype == torch.bool
        assert keep_mask.shape == (3, 1, 7, 7)
    past = causal_keep_mask(7) if name in CAUSAL else torch.ones(7, 7, dtype=torch.bool)
    real_keys = padding_mask("right").bool()[:, None, None, :]
    assert torch.equal(calls[0][3], past.expand(3, 1, 7, 7))
    assert torch.equal(calls[1][3], past & real_keys)


def test_a_query_of_padding_may_look_at_itself_only(gpt2: Any) -> None:
    seen = []

    def recording(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        seen.append(keep_mask)
        # -inf, as students write it: a row with no key would become NaN and spread
        scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~keep_mask, -torch.inf)
        return scores.softmax(dim=-1) @ value

    mask = padding_mask("left")
    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), recording))
    with torch.no_grad():
        found, wanted = patched(tokens(), attention_mask=mask), gpt2(tokens(), attention_mask=mask)
    close(found.logits[mask.bool()], wanted.logits[mask.bool()], atol=1e-5)
    assert torch.equal(seen[0][2, 0, :4, :4], torch.eye(4, dtype=torch.bool))
    assert not seen[0][2, 0, 4:, :4].any()


def test_with_a_cache_the_queries_are_the_last_positions(gpt2: Any) -> None:
    shapes = []

    def recording(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        shapes.append((query.shape[2], key.shape[2], keep_mask.all().item()))
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, recording)
    patched.generate(tokens(), max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert shapes == [(7, 7, False), (1, 8, True), (1, 9, True)]


def test_a_chunk_after_a_cache_is_causal_inside_itself(gpt2: Any) -> None:
    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), plain_reference))
    input_ids = tokens(length=8)
    with torch.no_grad():
        _, cache = patched(input_ids[:, :5], use_cache=True).to_tuple()
        chunk = patched(input_ids[:, 5:], cache).logits  # its name differs among the versions of transformers
        close(chunk, gpt2(input_ids).logits[:, 5:], atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_mask_trap_causality_survives_when_the_whole_model_names_the_dispatcher(
    models: dict[str, Any], name: str
) -> None:
    """transformers makes no mask for an attention without a mask function; then the future leaks, silently."""
    patched = patched_model(models[name], dict.fromkeys(range(NUM_LAYERS), plain_reference))
    patched.config._attn_implementation_internal = INTERFACE_NAME
    with torch.no_grad():
        close(patched(tokens()).logits, models[name](tokens()).logits, TOLERANCES.get(name, 1e-6))
        mask = padding_mask("left")
        real = mask.bool()
        found, wanted = patched(tokens(), attention_mask=mask), models[name](tokens(), attention_mask=mask)
        close(found.logits[real], wanted.logits[real], TOLERANCES.get(name, 1e-6))


def test_the_mask_trap_is_real_a_mask_is_missing_without_the_registration(
    gpt2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.masking_utils import AttentionMaskInterface

    received = []

    def recording(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        received.append(keep_mask)
        return output_only(query, key, value, keep_mask)

    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), recording))
    patched.config._attn_implementation_internal = INTERFACE_NAME
    monkeypatch.delitem(AttentionMaskInterface._global_mapping, INTERFACE_NAME)
    with torch.no_grad():
        patched(tokens(), attention_mask=padding_mask("left"))
    # the padding is lost; that the future is not is the dispatcher's own doing, which knows the layer to be causal
    assert torch.equal(received[0], causal_keep_mask(7).expand(3, 1, 7, 7))


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_has_no_influence(models: dict[str, Any], name: str) -> None:
    patched = patched_model(models[name], dict.fromkeys(range(NUM_LAYERS), output_only))
    changed = tokens()
    changed[:, 4:] = 3
    with torch.no_grad():
        close(patched(changed).logits[:, :4], patched(tokens()).logits[:, :4], atol=1e-5)
        leaking = replace_attention_mechanism(models[name], acausal_attention)
        assert (leaking(changed).logits[:, :4] - leaking(tokens()).logits[:, :4]).abs().max() > 1e-3
