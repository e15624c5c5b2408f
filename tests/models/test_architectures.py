from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.architectures import ARCHITECTURES, HeadConfig, find_architecture

SIZES = {
    "vocab_size": 31,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}
CONFIGS = {
    "gpt2": (GPT2Config(vocab_size=31, n_embd=24, n_layer=2, n_head=4, n_positions=16), HeadConfig(4, 4, 6)),
    "gpt_neox": (GPTNeoXConfig(**SIZES), HeadConfig(4, 4, 6)),
    "llama": (LlamaConfig(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 6)),
    "mistral": (MistralConfig(**SIZES, num_key_value_heads=1), HeadConfig(4, 1, 6)),
    "qwen2": (Qwen2Config(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 6)),
    "qwen3": (Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8), HeadConfig(4, 2, 8)),
    "bert": (BertConfig(**SIZES), HeadConfig(4, 4, 6)),
    "distilbert": (
        DistilBertConfig(vocab_size=31, dim=24, hidden_dim=32, n_layers=2, n_heads=4, max_position_embeddings=16),
        HeadConfig(4, 4, 6),
    ),
}
MASKED = ("bert", "distilbert")


def with_head(model_type):
    auto = AutoModelForMaskedLM if model_type in MASKED else AutoModelForCausalLM
    return auto.from_config(CONFIGS[model_type][0]).eval()


def test_every_model_type_of_the_table_is_tested_here():
    assert sorted(CONFIGS) == sorted(known for architecture in ARCHITECTURES for known in architecture.model_types)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_table_finds_layers_attention_and_heads(model_type):
    model = with_head(model_type)
    architecture = find_architecture(model)

    assert len(architecture.get_layers(model)) == 2
    assert architecture.get_head_config(model) == CONFIGS[model_type][1]
    assert architecture.is_causal(model) == (model_type not in MASKED)
    # the same row serves the model without its head
    bare = AutoModel.from_config(CONFIGS[model_type][0])
    assert type(find_architecture(bare).get_attention(bare, 1)) is type(architecture.get_attention(model, 1))


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_projections_have_the_widths_the_table_says(model_type):
    model = with_head(model_type)
    architecture = find_architecture(model)
    heads = architecture.get_head_config(model)
    attention = architecture.get_attention(model, 1)
    hidden_size = model.config.hidden_size
    query_width, key_width = heads.num_heads * heads.head_dim, heads.num_key_value_heads * heads.head_dim

    def shape(projection):
        rows, columns = projection.weight.shape
        return (rows, columns) if architecture.projections.transposed else (columns, rows)

    query = attention.get_submodule(architecture.projections.query)
    if architecture.projections.packing == "separate":
        assert shape(query) == (hidden_size, query_width)
        assert shape(attention.get_submodule(architecture.projections.key)) == (hidden_size, key_width)
        assert shape(attention.get_submodule(architecture.projections.value)) == (hidden_size, key_width)
    else:
        assert architecture.projections.query == architecture.projections.key == architecture.projections.value
        assert shape(query) == (hidden_size, query_width + 2 * key_width)
    assert shape(architecture.get_output_projection(model, 1)) == (query_width, hidden_size)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_queries_the_packing_promises_are_the_queries_the_model_uses(model_type):
    """Unpack by the table, compute attention by hand without rotation, and meet the model where nothing rotates it."""
    model = with_head(model_type)
    architecture = find_architecture(model)
    heads = architecture.get_head_config(model)
    attention = architecture.get_attention(model, 0)
    captured = {}
    attention.register_forward_hook(
        lambda module, args, kwargs, output: captured.update(
            hidden=(args or tuple(kwargs.values()))[0], output=output[0]
        ),
        with_kwargs=True,
    )
    with torch.no_grad():
        model(torch.tensor([[5]]))  # one token at position 0: rotary embeddings do nothing, and it sees only itself
        hidden_states, names = captured["hidden"], architecture.projections
        fused = attention.get_submodule(names.value)(hidden_states)[0, 0]
        if names.packing == "fused":
            value = fused.view(3, heads.num_heads, heads.head_dim)[2]
        elif names.packing == "fused-per-head":
            value = fused.view(heads.num_heads, 3, heads.head_dim)[:, 2]
        else:
            value = fused.view(heads.num_key_value_heads, heads.head_dim)
            value = value.repeat_interleave(heads.num_heads // heads.num_key_value_heads, dim=0)
        expected = value.flatten()
        if model_type != "bert":  # whose attention module ends before the output projection
            expected = architecture.get_output_projection(model, 0)(expected)
    torch.testing.assert_close(captured["output"][0, 0], expected, atol=1e-6, rtol=0)


def test_bert_as_a_decoder_is_causal():
    model = AutoModel.from_config(BertConfig(**SIZES, is_decoder=True))
    assert find_architecture(model).is_causal(model)


def test_an_unknown_architecture_is_named_with_what_was_looked_for_and_what_works():
    model = AutoModelForCausalLM.from_config(
        OPTConfig(vocab_size=31, hidden_size=24, ffn_dim=32, num_hidden_layers=1, num_attention_heads=4)
    )
    with pytest.raises(PatchingError) as error:
        find_architecture(model)
    text = str(error.value)
    assert "architecture 'opt' (OPTForCausalLM)" in text
    assert "gpt2, gpt_neox, llama" in text
    assert "What works nevertheless: extract_attention_weights" in text


def test_something_that_is_no_transformers_model_is_named():
    with pytest.raises(PatchingError, match=r"Linear is not a transformers model.*load_mini_transformer"):
        find_architecture(torch.nn.Linear(2, 2))


def test_a_model_that_is_not_built_as_its_type_says_is_told_what_it_has():
    impostor = torch.nn.Sequential(torch.nn.Linear(2, 2))
    impostor.config = SimpleNamespace(model_type="gpt2")
    impostor.base_model = impostor
    with pytest.raises(PatchingError, match=r"says it is a GPT-2 model .*Sequential has no 'h'.*Its modules: 0"):
        find_architecture(impostor).get_layers(impostor)
