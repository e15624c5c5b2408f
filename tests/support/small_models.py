"""Small models of several families with random weights, and attentions to put into them."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

from pytest_attn_grader.attention.reference import reference_attention

NUM_LAYERS, NUM_HEADS, VOCAB_SIZE = 3, 4, 61
# Large random weights: with the usual 0.02 all attention is nearly uniform, and a wrong one would pass.
SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": NUM_HEADS,
    "max_position_embeddings": 32,
    "initializer_range": 0.15,
}
GPT2_SIZES = {
    "vocab_size": VOCAB_SIZE,
    "n_embd": 32,
    "n_layer": NUM_LAYERS,
    "n_head": NUM_HEADS,
    "n_positions": 32,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "gpt2": GPT2Config(**GPT2_SIZES),
    "gpt2-scaled-by-layer": GPT2Config(**GPT2_SIZES, scale_attn_by_inverse_layer_idx=True),
    "gpt2-unscaled": GPT2Config(**GPT2_SIZES, scale_attn_weights=False),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=1),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "bert": BertConfig(**SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=VOCAB_SIZE,
        dim=32,
        hidden_dim=48,
        n_layers=NUM_LAYERS,
        n_heads=NUM_HEADS,
        max_position_embeddings=32,
        initializer_range=0.15,
    ),
}
# transformers 4 computes the attention of encoders itself, so that it cannot be replaced.
if transformers.__version__.startswith("4."):
    del CONFIGS["bert"], CONFIGS["distilbert"]
CAUSAL = [name for name in CONFIGS if "bert" not in name]
LAYERS = {"first": [0], "last": [NUM_LAYERS - 1], "all": list(range(NUM_LAYERS))}
PADDINGS = {"none": [0, 0, 0], "right": [0, -2, -4], "left": [0, 2, 4], "both": [3, 0, -3]}


def build(name: str, implementation: str = "eager") -> Any:
    torch.manual_seed(0)
    auto = AutoModelForMaskedLM if "bert" in name else AutoModelForCausalLM
    # a copy, because a model writes its implementation into the configuration it is given
    return auto.from_config(copy.deepcopy(CONFIGS[name]), attn_implementation=implementation).eval()


def tokens(batch_size: int = 3, length: int = 7, seed: int = 1) -> Tensor:
    return torch.randint(3, VOCAB_SIZE, (batch_size, length), generator=torch.Generator().manual_seed(seed))


def padding_mask(padding: str, length: int = 7) -> Tensor:
    mask = torch.ones(3, length, dtype=torch.long)
    for row, count in zip(mask, PADDINGS[padding], strict=True):
        if count > 0:
            row[:count] = 0
        elif count < 0:
            row[count:] = 0
    return mask


def plain_reference(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value, keep_mask)


def output_only(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    return reference_attention(query, key, value, keep_mask)[0]


def uniform_attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    """A wrong one: looks at every kept key alike."""
    weights = keep_mask.expand(*query.shape[:-1], key.shape[-2]).to(query.dtype)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ value, weights


def acausal_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value)


# The contract's scaling is reached by scaling the query, which rounds; scores as large as these then differ by more.
TOLERANCES = {"gpt2-unscaled": 1e-5}


def close(found: Any, wanted: Any, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-5)


class WordTokenizer:
    """One token a word: enough of a tokenizer."""

    def __call__(self, text: str, return_tensors: str) -> Any:
        return {"input_ids": torch.tensor([[3 + sum(map(ord, word)) % 50 for word in text.split()]]).view(1, -1)}


class AttentionModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Any:
        return reference_attention(query * self.gain, key, value, mask)


PROMPT = "The cat sat on the mat"


class WholeBlock(nn.Module):
    """GPT-2's attention once more, as a student writes it, loaded with a layer's weights."""

    def __init__(self, layer: Any, *, returns_weights: bool = False) -> None:
        super().__init__()
        self.c_attn, self.c_proj, self.returns_weights = (
            copy.deepcopy(layer.c_attn),
            copy.deepcopy(layer.c_proj),
            returns_weights,
        )

    def forward(self, x: Tensor, mask: Any = None) -> Any:
        batch_size, seq_len, width = x.shape
        query, key, value = (
            part.view(batch_size, seq_len, NUM_HEADS, -1).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=-1)
        )
        output, weights = reference_attention(query, key, value, mask)
        output = self.c_proj(output.transpose(1, 2).flatten(2))
        return (output, weights) if self.returns_weights else output
