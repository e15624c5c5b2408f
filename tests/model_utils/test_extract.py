"""Extracting a layer and its weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BloomConfig,
)

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    extract_attention_layer,
    extract_attention_weights,
    replace_attention_mechanism,
)
from tests.support.small_models import (
    CONFIGS,
    NUM_HEADS,
    VOCAB_SIZE,
    build,
    close,
    plain_reference,
    tokens,
)


def test_the_extracted_layer_is_the_module_itself(models: dict[str, Any]) -> None:
    gpt2 = models["gpt2"]
    assert extract_attention_layer(gpt2) is gpt2.transformer.h[0].attn
    assert extract_attention_layer(gpt2, -1) is gpt2.transformer.h[2].attn
    if bert := models.get("bert"):
        assert extract_attention_layer(bert, 1) is bert.bert.encoder.layer[1].attention.self
    bare = AutoModel.from_config(copy.deepcopy(CONFIGS["gpt2"]))
    assert extract_attention_layer(bare, 1) is bare.h[1].attn


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", CONFIGS)
def test_extracted_weights_are_eager_and_leave_the_model_as_it_was(
    models: dict[str, Any], name: str, implementation: str
) -> None:
    model = build(name, implementation).train()
    extract_attention_layer(model, 1).eval()
    modes = [module.training for module in model.modules()]
    weights = extract_attention_weights(model, tokens(), 1)
    with torch.no_grad():
        wanted = models[name](tokens(), output_attentions=True).attentions[1]
    close(weights, wanted)
    assert not weights.requires_grad
    close(weights.sum(dim=-1), torch.ones(3, NUM_HEADS, 7), atol=1e-5)
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == implementation


def test_weights_can_be_extracted_where_the_attention_cannot_be_replaced() -> None:
    model = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=VOCAB_SIZE, hidden_size=32, n_layer=2, n_head=4))
    assert extract_attention_weights(model, tokens(), -1).shape == (3, 4, 7, 7)
    with pytest.raises(PatchingError, match="no layer of BloomForCausalLM"):
        replace_attention_mechanism(model, plain_reference)
