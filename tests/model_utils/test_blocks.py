"""Modules that replace an attention block as a whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    extract_attention_layer,
    replace_attention_mechanism,
)
from tests.support.small_models import (
    CAUSAL,
    CONFIGS,
    NUM_LAYERS,
    VOCAB_SIZE,
    WholeBlock,
    build,
    close,
    padding_mask,
    tokens,
)


@pytest.mark.parametrize("captured_before", [False, True])
@pytest.mark.parametrize("returns_weights", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3])  # two is where a bare tensor would be unpacked along the batch
def test_a_module_that_takes_hidden_states_replaces_the_block(
    batch_size: int, returns_weights: bool, captured_before: bool
) -> None:
    model = build("gpt2")
    if captured_before:  # transformers installs its recording hooks at the first request
        model(tokens(), output_attentions=True)
    block = WholeBlock(extract_attention_layer(model, 1), returns_weights=returns_weights)
    patched = replace_attention_mechanism(model, block, 1)
    input_ids = tokens(batch_size)
    with torch.no_grad():
        wanted = model(input_ids, output_attentions=True)
        close(patched(input_ids).logits, wanted.logits)
        found = patched(input_ids, output_attentions=True)
    close(found.logits, wanted.logits)
    assert len(found.attentions) == NUM_LAYERS
    for layer_idx in range(NUM_LAYERS):
        if layer_idx == 1 and not returns_weights:
            assert found.attentions[1].shape == wanted.attentions[1].shape
            assert found.attentions[1].isnan().all()
        else:
            close(found.attentions[layer_idx], wanted.attentions[layer_idx])
    assert model.config.use_cache
    assert not any("student" in key for key in model.state_dict())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_block_fits_every_family_and_generates_without_cache(models: dict[str, Any], name: str) -> None:
    class Zero(nn.Module):
        def forward(self, hidden_states: Tensor) -> Any:
            return torch.zeros_like(hidden_states)

    patched = replace_attention_mechanism(models[name], Zero(), 1)
    with torch.no_grad():
        found = patched(tokens(), attention_mask=padding_mask("left"), output_attentions=True)
        assert found.logits.shape == (3, 7, VOCAB_SIZE)
        assert len(found.attentions) == NUM_LAYERS
        if name not in CAUSAL:
            return
        generated = patched.generate(tokens(), max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
        assert torch.equal(generated[:, 7], patched(tokens()).logits[:, -1].argmax(dim=-1))
        with pytest.raises(PatchingError, match=r"layer 1 was replaced as a whole .*use_cache=False"):
            patched.generate(tokens(), max_new_tokens=3, use_cache=True, pad_token_id=0, eos_token_id=None)
