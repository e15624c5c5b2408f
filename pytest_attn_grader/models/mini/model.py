"""Read the embedded models from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.models.llama.modeling_llama import LlamaForCausalLM
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
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


def make_model(fields: dict[str, Any]) -> MiniModel:
    """Make a model of a configuration, with random weights."""
    # from_config would do the same, with the whole of transformers' automatic classes imported
    if fields["model_type"] == "llama":
        from transformers.models.llama.configuration_llama import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaForCausalLM

        return LlamaForCausalLM(LlamaConfig.from_dict(fields))
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config.from_dict(fields))


def load_model(folder: Path) -> MiniModel:
    """Load the model in a folder: float32, eager attention, eval mode. Reads local files only."""
    from safetensors.torch import load_file

    # from_pretrained would do the same, with a progress bar for a load of a tenth of a second
    model = make_model(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    model.set_attn_implementation("eager")
    weights = load_file(folder / WEIGHTS_FILE)
    model.load_state_dict({**weights, OUTPUT_MATRIX: weights[EMBEDDINGS[model.config.model_type]]})
    model.tie_weights()
    model.train(mode=False)
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder. It pads with its end-of-text token and adds nothing to a text."""
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE), **TOKENIZER_SETTINGS)
