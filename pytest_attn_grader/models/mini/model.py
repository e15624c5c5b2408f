"""The shape of `mini`, and how it is read from and written to a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"
# One matrix under two names; it is stored under the second.
OUTPUT_MATRIX, EMBEDDING = "lm_head.weight", "transformer.wte.weight"

TOKENIZER_SETTINGS = {
    "bos_token": END_OF_TEXT,
    "eos_token": END_OF_TEXT,
    "unk_token": END_OF_TEXT,
    "pad_token": END_OF_TEXT,
    "clean_up_tokenization_spaces": False,
    # transformers before 5 adds token types otherwise, and GPT-2 looks those up among its words.
    "model_input_names": ["input_ids", "attention_mask"],
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; the defaults are the shipped one's."""

    vocabulary_size: int = 1408
    positions: int = 256
    hidden_size: int = 256
    num_layers: int = 3
    num_heads: int = 4
    inner_size: int = 512


SHIPPED_SHAPE = Shape()


def build_model(shape: Shape) -> GPT2LMHeadModel:
    """A new, untrained GPT-2 of this shape, with token 0 as its end of text."""
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocabulary_size,
        n_positions=shape.positions,
        n_embd=shape.hidden_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        n_inner=shape.inner_size,
        # the same function as GPT-2's "gelu_new", computed in one kernel
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def load_model(folder: Path) -> GPT2LMHeadModel:
    """The model in a folder: float32, eager attention, eval mode. Reads local files only."""
    from safetensors.torch import load_file
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    # from_pretrained would do the same, with a progress bar for a load of a tenth of a second
    model = GPT2LMHeadModel(GPT2Config.from_json_file(folder / CONFIG_FILE))
    model.set_attn_implementation("eager")
    weights = load_file(folder / WEIGHTS_FILE)
    model.load_state_dict({**weights, OUTPUT_MATRIX: weights[EMBEDDING]})
    model.tie_weights()
    model.train(mode=False)
    return model


def write_model(model: GPT2LMHeadModel, folder: Path) -> None:
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
    model.config.architectures = ["GPT2LMHeadModel"]
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
