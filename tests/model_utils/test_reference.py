"""The reference in a layer gives the original model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pytest_attn_grader.model_utils import (
    patched_model,
    replace_attention_mechanism,
)
from tests.support.small_models import (
    CAUSAL,
    CONFIGS,
    LAYERS,
    NUM_LAYERS,
    PADDINGS,
    TOLERANCES,
    close,
    output_only,
    padding_mask,
    plain_reference,
    tokens,
    uniform_attention,
)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("name", CONFIGS)
def test_reference_in_a_layer_changes_nothing(models: dict[str, Any], name: str, layers: str) -> None:
    model, input_ids = models[name], tokens()
    patched = patched_model(model, dict.fromkeys(LAYERS[layers], plain_reference))
    for padding in PADDINGS:
        mask = padding_mask(padding)
        arguments = {} if padding == "none" else {"attention_mask": mask}
        with torch.no_grad():
            wanted = model(input_ids, output_attentions=True, **arguments)
            found = patched(input_ids, output_attentions=True, **arguments)
        real = mask.bool()  # positions of padding may hold anything
        close(found.logits[real], wanted.logits[real], TOLERANCES.get(name, 1e-6))
        assert found.logits.isfinite().all()
        assert len(found.attentions) == NUM_LAYERS
        for found_weights, wanted_weights in zip(found.attentions, wanted.attentions, strict=True):
            close(found_weights.transpose(1, 2)[real], wanted_weights.transpose(1, 2)[real], TOLERANCES.get(name, 1e-6))


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_original(models: dict[str, Any], name: str) -> None:
    model, input_ids, mask = models[name], tokens(), padding_mask("right")
    patched = patched_model(model, dict.fromkeys(range(NUM_LAYERS), output_only))

    def gradients(of: Any) -> Any:
        of.zero_grad()
        logits = of(input_ids, attention_mask=mask).logits[mask.bool()]
        F.cross_entropy(logits, input_ids[mask.bool()]).backward()
        found = {key: parameter.grad.clone() for key, parameter in of.named_parameters() if parameter.grad is not None}
        of.zero_grad()
        return found

    wanted, found = gradients(model), gradients(patched)
    assert found.keys() == wanted.keys()
    assert any("emb" in key or "wte" in key for key in found)
    for key, gradient in wanted.items():
        close(found[key], gradient, atol=1e-5)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("name", CAUSAL)
def test_generate_is_that_of_the_original(models: dict[str, Any], name: str, use_cache: bool) -> None:
    model = models[name]
    patched = patched_model(model, {0: output_only, NUM_LAYERS - 1: plain_reference})
    input_ids, mask = tokens(length=6), padding_mask("left", length=6)
    arguments = {"max_new_tokens": 5, "do_sample": False, "use_cache": use_cache, "pad_token_id": 0}
    arguments |= {"output_logits": True, "return_dict_in_generate": True, "eos_token_id": None}
    wanted = model.generate(input_ids, attention_mask=mask, **arguments)
    found = patched.generate(input_ids, attention_mask=mask, **arguments)
    assert torch.equal(found.sequences, wanted.sequences)
    close(torch.stack(found.logits), torch.stack(wanted.logits), atol=1e-5)


def test_a_wrong_attention_does_change_the_model(models: dict[str, Any]) -> None:
    for model in models.values():
        patched = replace_attention_mechanism(model, uniform_attention, 1)
        with torch.no_grad():
            assert (model(tokens()).logits - patched(tokens()).logits).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(gpt2: Any, dtype: torch.dtype) -> None:
    model = copy.deepcopy(gpt2).to(dtype)
    patched = replace_attention_mechanism(model, plain_reference)
    with torch.no_grad():
        wanted, found = model(tokens()).logits, patched(tokens()).logits
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, atol=1e-10 if dtype == torch.float64 else 0.1, rtol=0)
