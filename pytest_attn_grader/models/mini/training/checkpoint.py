"""Build new models of the embedded ones' kinds, and write what was trained as `mini.model` reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from pytest_attn_grader.models.mini.model import (
    CONFIG_FILE,
    OUTPUT_MATRIX,
    TOKENIZER_FILE,
    TOKENIZER_SETTINGS,
    WEIGHTS_FILE,
    MiniModel,
    make_model,
)

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


@dataclass(frozen=True)
class ModelSize:
    """The type of a model and its sizes; the defaults are those of `mini`."""

    model_type: Literal["gpt2", "llama"] = "gpt2"
    vocabulary_size: int = 1408
    positions: int = 256
    hidden_size: int = 256
    num_layers: int = 3
    num_heads: int = 4
    num_key_value_heads: int = 4
    intermediate_size: int = 512


MINI_SIZE = ModelSize()
MINI_LLAMA_SIZE = ModelSize(model_type="llama", num_key_value_heads=2)


def build_model(size: ModelSize) -> MiniModel:
    """Build a new, untrained model of this size, with token 0 as its end of text."""
    fields = _llama_fields(size) if size.model_type == "llama" else _gpt2_fields(size)
    return make_model({"model_type": size.model_type, "bos_token_id": 0, "eos_token_id": 0, **fields})


def _gpt2_fields(size: ModelSize) -> dict[str, Any]:
    return {
        "vocab_size": size.vocabulary_size,
        "n_positions": size.positions,
        "n_embd": size.hidden_size,
        "n_layer": size.num_layers,
        "n_head": size.num_heads,
        "n_inner": size.intermediate_size,
        # the same function as GPT-2's "gelu_new", computed in one kernel
        "activation_function": "gelu_pytorch_tanh",
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def _llama_fields(size: ModelSize) -> dict[str, Any]:
    return {
        "vocab_size": size.vocabulary_size,
        "max_position_embeddings": size.positions,
        "hidden_size": size.hidden_size,
        "num_hidden_layers": size.num_layers,
        "num_attention_heads": size.num_heads,
        "num_key_value_heads": size.num_key_value_heads,
        "intermediate_size": size.intermediate_size,
        "tie_word_embeddings": True,
    }


def write_model(model: MiniModel, folder: Path) -> None:
    """Write config and weights, the weights as float16 without the output matrix, which is the embedding's."""
    weights = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != OUTPUT_MATRIX
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.to_json_file(folder / CONFIG_FILE)


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer, and beside it what transformers' AutoTokenizer has to know about it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **TOKENIZER_SETTINGS}
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
