"""QK-norm of a layer: derived for every family that has one, and the reference with it equals the layer itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    Exaone4Config,
    Gemma3TextConfig,
    GemmaConfig,
    HunYuanDenseV1Config,
    LlamaConfig,
    Olmo2Config,
    OlmoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    StableLmConfig,
)

from pytest_attn_grader.attention.query_key_norm import normalise
from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.attention.rotation import Rotation, rotate
from pytest_attn_grader.models.architectures import find_architecture

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
NORMED: dict[str, Any] = {
    "qwen3": (Qwen3Config(**SIZES, head_dim=16), "head_dim"),
    "qwen3_moe": (
        Qwen3MoeConfig(**SIZES, head_dim=16, **EXPERTS, moe_intermediate_size=8),
        "head_dim",
    ),
    "gemma3": (
        Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=3, query_pre_attn_scalar=24, layer_types=MIXED),
        "head_dim",
    ),
    "olmo2": (Olmo2Config(**SIZES), "width"),
    "olmoe": (OlmoeConfig(**SIZES, **EXPERTS), "width"),
}
PLAIN: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES),
    "gemma": GemmaConfig(**SIZES, head_dim=16),
    # LayerNorms, one a head.
    "stablelm": StableLmConfig(**SIZES, qk_layernorm=True),
    # Normalises what is rotated already.
    "hunyuan": HunYuanDenseV1Config(**SIZES, head_dim=16),
    # Does not rotate in the layers that see the whole text.
    "exaone4": Exaone4Config(**SIZES, sliding_window=3, layer_types=["full_attention"] * 3),
}
# transformers 4 computes the attention of these families itself, so that it can be replaced in none of them.
if transformers.__version__.startswith("4."):
    del NORMED["olmoe"], PLAIN["stablelm"]
INPUT_IDS = torch.tensor([[5, 9, 3, 9, 17, 4, 21, 6]])


def build(config: Any) -> Any:
    """A tiny model with norms whose weights differ from dimension to dimension."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation="eager").eval()
        for name, parameter in model.named_parameters():
            if "norm" in name:
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.3)
            elif parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=(2.0 / parameter.shape[-1]) ** 0.5)
    return model


@pytest.mark.parametrize("family", NORMED)
def test_the_reference_with_the_norm_equals_every_layer(family: str) -> None:
    config, over = NORMED[family]
    model = build(config)
    architecture = find_architecture(model)
    assert [norm and norm.over for norm in architecture.query_key_norms] == [over] * 3
    assert architecture.layer_steps(0).norm_axis == over

    # Products of experts are not there in float64.
    dtype = torch.float32 if hasattr(config, "num_experts") else torch.float64
    model = model.to(dtype)
    inputs: dict[int, torch.Tensor] = {}
    outputs: dict[int, torch.Tensor] = {}
    for layer_idx in range(3):
        attention = architecture.get_attention(model, layer_idx)

        def keep_input(module: Any, args: Any, named: Any, *, layer_idx: int = layer_idx) -> None:
            inputs[layer_idx] = next(each for each in (*args, *named.values()) if isinstance(each, torch.Tensor))

        def keep_output(module: Any, args: Any, *, layer_idx: int = layer_idx) -> None:
            outputs[layer_idx] = args[0]

        attention.register_forward_pre_hook(keep_input, with_kwargs=True)
        architecture.get_output_projection(model, layer_idx).register_forward_pre_hook(keep_output)
    with torch.no_grad():
        model(INPUT_IDS)
    for layer_idx in range(3):
        attention, norm = architecture.get_attention(model, layer_idx), architecture.query_key_norms[layer_idx]
        assert norm is not None
        base = architecture.rotary_bases[layer_idx]
        assert base is not None
        heads = architecture.heads[layer_idx]
        with torch.no_grad():
            query, key, value = (
                getattr(attention, name)(inputs[layer_idx]).unflatten(-1, (-1, heads.head_dim)).transpose(1, 2)
                for name in ("q_proj", "k_proj", "v_proj")
            )
        query, key = (
            rotate(weight.to(dtype) * normalise(states, norm.over), Rotation("halves", base))
            for states, weight in ((query, norm.query_weight), (key, norm.key_weight))
        )
        repeats = heads.num_heads // heads.num_key_value_heads
        key, value = (states.repeat_interleave(repeats, dim=1) for states in (key, value))
        window = getattr(attention, "sliding_window", None)
        keep_mask = causal_keep_mask(8, sliding_window=window)[None, None]
        expected, _ = reference_attention(query, key, value, keep_mask)
        # transformers computes norms, rotations and the softmax in float32; another weight or axis is off by far more.
        torch.testing.assert_close(outputs[layer_idx], expected.transpose(1, 2).flatten(2), atol=1e-4, rtol=1e-4)


def test_the_layers_of_gemma_3_have_bases_of_their_own() -> None:
    assert find_architecture(build(NORMED["gemma3"][0])).rotary_bases == (10_000.0, 1_000_000.0, 10_000.0)


@pytest.mark.parametrize("family", PLAIN)
def test_other_layers_have_none(family: str) -> None:
    architecture = find_architecture(build(PLAIN[family]))
    assert architecture.query_key_norms == (None, None, None)
    assert architecture.layer_steps(1).norm_axis is None
