"""Architectures: derived and proven for a tiny model of every family, or refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    BloomConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTBigCodeConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    SmolLM3Config,
    T5Config,
)

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import PatchingError, UngradableError
from pytest_attn_grader.model_utils import patched_model
from pytest_attn_grader.models.architectures import HeadConfig, find_architecture, is_causal_model

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2_SIZES: dict[str, Any] = {"vocab_size": 31, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}
EVERY_HEAD = HeadConfig(4, 4, 8)
CAUSAL: dict[str, tuple[Any, HeadConfig]] = {
    "gpt2": (GPT2Config(**GPT2_SIZES, bos_token_id=1, eos_token_id=2), EVERY_HEAD),
    "gpt_neox": (GPTNeoXConfig(**SIZES), EVERY_HEAD),
    "opt": (
        OPTConfig(**{**SIZES, "intermediate_size": None}, ffn_dim=32, word_embed_proj_dim=32),
        EVERY_HEAD,
    ),
    "llama": (LlamaConfig(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 8)),
    "mistral": (MistralConfig(**SIZES, num_key_value_heads=1, sliding_window=3), HeadConfig(4, 1, 8)),
    "mixtral": (MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=2), HeadConfig(4, 2, 8)),
    "qwen2": (Qwen2Config(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 8)),
    "qwen3": (Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16), HeadConfig(4, 2, 16)),
    "gemma": (GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=16), HeadConfig(4, 1, 16)),
    "gemma3_text": (
        Gemma3TextConfig(**SIZES, num_key_value_heads=1, head_dim=16, sliding_window=3, query_pre_attn_scalar=24),
        HeadConfig(4, 1, 16),
    ),
    "phi": (PhiConfig(**SIZES), EVERY_HEAD),
    "olmo2": (Olmo2Config(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 8)),
    "smollm3": (SmolLM3Config(**SIZES, num_key_value_heads=2), HeadConfig(4, 2, 8)),
    "granite": (GraniteConfig(**SIZES, num_key_value_heads=2, attention_multiplier=0.1), HeadConfig(4, 2, 8)),
}
MASKED: dict[str, tuple[Any, HeadConfig]] = {
    "bert": (BertConfig(**SIZES), EVERY_HEAD),
    "roberta": (RobertaConfig(**SIZES), EVERY_HEAD),
    "electra": (ElectraConfig(**SIZES, embedding_size=32), EVERY_HEAD),
    "camembert": (CamembertConfig(**SIZES), EVERY_HEAD),
    "distilbert": (
        DistilBertConfig(vocab_size=31, dim=32, hidden_dim=32, n_layers=2, n_heads=4, max_position_embeddings=16),
        EVERY_HEAD,
    ),
}
# transformers 4 computes the attention of these families itself, so that it can be replaced in none of them.
IS_TRANSFORMERS_4 = transformers.__version__.startswith("4.")
if IS_TRANSFORMERS_4:
    MASKED = {}
FAMILIES = {**CAUSAL, **MASKED}
ROTARY = set(CAUSAL) - {"gpt2", "opt"}
INPUT_IDS = torch.tensor([[5, 9, 3, 9, 17, 4, 21, 6]])


def build(model_type: str) -> Any:
    """A tiny model of this family, with weights large enough for every part to matter."""
    auto = AutoModelForMaskedLM if model_type in MASKED else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = auto.from_config(FAMILIES[model_type][0]).eval()
        for parameter in model.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=(2.0 / parameter.shape[-1]) ** 0.5)
    return model


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_is_derived(model_type: str) -> None:
    model = build(model_type)
    architecture = find_architecture(model)

    assert architecture.model_type == model_type
    assert architecture.num_layers == 2
    assert architecture.heads[0] == FAMILIES[model_type][1]
    assert architecture.causal is is_causal_model(model) is (model_type in CAUSAL)
    assert architecture.rotary is (model_type in ROTARY)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_reference_in_every_layer_gives_the_models_own_logits(model_type: str) -> None:
    model = build(model_type)

    def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, keep_mask: torch.Tensor) -> torch.Tensor:
        return reference_attention(query, key, value, keep_mask)[0]

    def uniform(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, keep_mask: torch.Tensor) -> torch.Tensor:
        return reference_attention(torch.zeros_like(query), key, value, keep_mask)[0]

    with torch.no_grad():
        own = model(INPUT_IDS).logits
        same = patched_model(model, dict.fromkeys(range(2), reference))(INPUT_IDS).logits
        other = patched_model(model, {1: uniform})(INPUT_IDS).logits
    torch.testing.assert_close(same, own, rtol=0, atol=1e-4 * float(own.abs().max()))
    assert (other - own).abs().max() > 1e-2


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_bare_model_has_the_same_architecture(model_type: str) -> None:
    model = build(model_type)
    bare = AutoModel.from_config(FAMILIES[model_type][0]).eval()
    attention = find_architecture(bare).get_attention(bare, 1)

    assert type(attention) is type(find_architecture(model).get_attention(model, 1))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_projections_have_the_widths_of_the_heads(model_type: str) -> None:
    model = build(model_type)
    architecture = find_architecture(model)
    heads, names = architecture.heads[0], architecture.projections
    attention = architecture.get_attention(model, 1)
    query_width, key_width = heads.num_heads * heads.head_dim, heads.num_key_value_heads * heads.head_dim

    def shape(projection: Any) -> tuple[int, int]:
        rows, columns = projection.weight.shape
        return (rows, columns) if names.transposed else (columns, rows)

    query = attention.get_submodule(names.query)
    if names.packing == "separate":
        assert shape(query) == (32, query_width)
        assert shape(attention.get_submodule(names.key)) == (32, key_width)
        assert shape(attention.get_submodule(names.value)) == (32, key_width)
    else:
        assert names.query == names.key == names.value
        assert shape(query) == (32, query_width + 2 * key_width)
    assert shape(architecture.get_output_projection(model, 1)) == (query_width, 32)


def test_an_architecture_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("gpt2")
    first = find_architecture(model)
    monkeypatch.setattr(type(model), "forward", None)

    assert find_architecture(model) is first


def test_deriving_leaves_the_model_as_it_was() -> None:
    model = build("llama").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    threads = torch.get_num_threads()
    find_architecture(model)

    assert model.training
    assert not model._forward_pre_hooks
    assert torch.get_num_threads() == threads
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.skipif(IS_TRANSFORMERS_4, reason="the attention of encoders cannot be replaced there")
def test_bert_as_a_decoder_is_causal() -> None:
    model = AutoModel.from_config(BertConfig(**SIZES, is_decoder=True)).eval()
    assert find_architecture(model).causal


# GPT-BigCode's module uses torch.jit.script in the transformers that Python 3.10 gets.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_projections_that_are_packed_in_another_way_are_not_guessed() -> None:
    model = AutoModelForCausalLM.from_config(GPTBigCodeConfig(**GPT2_SIZES, bos_token_id=1, eos_token_id=2)).eval()
    architecture = find_architecture(model)

    assert architecture.heads[0] == HeadConfig(4, 1, 8)
    with pytest.raises(UngradableError, match=r"projections of a 'gpt_bigcode' model are not known"):
        architecture.projections  # noqa: B018


@pytest.mark.parametrize(
    ("auto", "config", "why"),
    [
        (AutoModelForCausalLM, Gemma2Config(**SIZES, num_key_value_heads=1, head_dim=16), "softcap"),
        (AutoModelForCausalLM, BloomConfig(vocab_size=31, hidden_size=32, n_layer=1, n_head=4), "BloomForCausalLM"),
        (
            AutoModelForSeq2SeqLM,
            T5Config(vocab_size=31, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4),
            "encoder with a decoder",
        ),
        (
            AutoModelForMaskedLM,
            AlbertConfig(**SIZES, embedding_size=32),
            "no layer of Albert" if IS_TRANSFORMERS_4 else "several layers in one",
        ),
    ],
    ids=["soft-cap", "no interface", "encoder-decoder", "shared layers"],
)
def test_what_cannot_be_replaced_is_refused(auto: Any, config: Any, why: str) -> None:
    model = auto.from_config(config).eval()
    with pytest.raises(PatchingError, match=why):
        find_architecture(model)
    with pytest.raises(UngradableError, match=why):
        is_causal_model(model)


def test_attention_that_does_more_than_it_asks_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    eager = modeling_llama.eager_attention_forward

    def sharper(module: Any, query: torch.Tensor, *rest: Any, **named: Any) -> Any:
        return eager(module, 3 * query, *rest, **named)

    monkeypatch.setattr(modeling_llama, "eager_attention_forward", sharper)
    with pytest.raises(PatchingError, match="does not give its own output"):
        find_architecture(build("llama"))


def test_something_that_is_no_transformers_model_is_named() -> None:
    with pytest.raises(PatchingError, match=r"Linear is not a transformers model.*load_mini_transformer"):
        find_architecture(torch.nn.Linear(2, 2))
