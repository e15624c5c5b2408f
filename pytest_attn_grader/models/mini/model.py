"""Build the embedded models, and read them from and write them to a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.models.llama.modeling_llama import LlamaForCausalLM
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"
# One matrix under two names; it is stored under the second, which depends on the model type.
OUTPUT_MATRIX = "lm_head.weight"
EMBEDDINGS = {"gpt2": "transformer.wte.weight", "llama": "model.embed_tokens.weight"}

TOKENIZER_SETTINGS = {
    "bos_token": END_OF_TEXT,
    "eos_token": END_OF_TEXT,
    "unk_token": END_OF_TEXT,
    "pad_token": END_OF_TEXT,
    "clean_up_tokenization_spaces": False,
    # transformers before 5 adds token types otherwise, and GPT-2 looks those up among its words.
    "model_input_names": ["input_ids", "attention_mask"],
}


# an embedded language model of either type
MiniModel: TypeAlias = "GPT2LMHeadModel | LlamaForCausalLM"


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
    return _build(_make_config({"model_type": size.model_type, "bos_token_id": 0, "eos_token_id": 0, **fields}))


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


def _make_config(fields: dict[str, Any]) -> Any:
    if fields["model_type"] == "llama":
        from transformers.models.llama.configuration_llama import LlamaConfig

        return LlamaConfig.from_dict(fields)
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config

    return GPT2Config.from_dict(fields)


def _build(config: Any) -> MiniModel:
    # from_config and from_pretrained would do the same, with the whole of transformers' automatic classes imported
    if config.model_type == "llama":
        from transformers.models.llama.modeling_llama import LlamaForCausalLM

        return LlamaForCausalLM(config)
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    return GPT2LMHeadModel(config)


def load_model(folder: Path) -> MiniModel:
    """Load the model in a folder: float32, eager attention, eval mode. Reads local files only."""
    from safetensors.torch import load_file

    # from_pretrained would do the same, with a progress bar for a load of a tenth of a second
    model = _build(_make_config(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))))
    model.set_attn_implementation("eager")
    weights = load_file(folder / WEIGHTS_FILE)
    model.load_state_dict({**weights, OUTPUT_MATRIX: weights[EMBEDDINGS[model.config.model_type]]})
    model.tie_weights()
    model.train(mode=False)
    return model


def write_model(model: MiniModel, folder: Path) -> None:
    """Write config and weights, the weights as float16 without the output matrix, which is the embedding's."""
    import torch
    from safetensors.torch import save_file

    weights = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != OUTPUT_MATRIX
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.to_json_file(folder / CONFIG_FILE)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder. It pads with its end-of-text token and adds nothing to a text."""
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE), **TOKENIZER_SETTINGS)


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer, and beside it what transformers' AutoTokenizer has to know about it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **TOKENIZER_SETTINGS}
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
