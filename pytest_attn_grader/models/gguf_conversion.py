"""Convert a quantized Llama in a GGUF file to a model folder as ``save_pretrained`` writes it.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.models.checkpoint import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_CONTROL_TOKEN = 3


def convert_llama(gguf_file: Path, folder: Path) -> None:
    """Write configuration, float16 weights and tokenizer of the Llama in `gguf_file` into `folder`.

    Raises:
        ValueError: the file holds something else than a Llama with a byte-level tokenizer.
        ImportError: the gguf package is missing.
    """
    import gguf

    reader = gguf.GGUFReader(gguf_file)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    metadata: dict[str, Any] = {name: field.contents() for name, field in fields.items()}
    tokenizer = (metadata.get("general.architecture"), metadata.get("tokenizer.ggml.model"))
    if tokenizer != ("llama", "gpt2"):
        raise ValueError(f"{gguf_file} has architecture and tokenizer {tokenizer}, and only ('llama', 'gpt2') is known")
    folder.mkdir(parents=True, exist_ok=True)
    names = _parameter_names(metadata["llama.block_count"])
    unknown = [tensor.name for tensor in reader.tensors if tensor.name not in names]
    if unknown:
        raise ValueError(f"tensor {unknown[0]!r} is not part of a plain Llama")
    tensors = {names[tensor.name]: tensor for tensor in reader.tensors}
    config = _build_config(metadata, tied="lm_head.weight" not in tensors)
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    _write_weights(tensors, config, folder / WEIGHTS)
    _write_tokenizer(metadata, folder)


def _parameter_names(num_layers: int) -> dict[str | None, str]:
    """The names of a Llama's parameters in transformers, by the names of the tensors in a GGUF file."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=num_layers))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, num_layers)
    return {names.get_name(name, (".weight",)): name for name in model.state_dict()}


def _build_config(metadata: Mapping[str, Any], *, tied: bool) -> dict[str, Any]:
    num_heads, hidden_size = metadata["llama.attention.head_count"], metadata["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden_size,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": num_heads,
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", num_heads),
        "head_dim": hidden_size // num_heads,
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": metadata.get("llama.rope.freq_base", 10_000.0),
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": tied,
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
    }


def _write_weights(tensors: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> None:
    import gguf
    import numpy as np
    from safetensors.numpy import save_file

    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    weights = {}
    for name, tensor in tensors.items():
        weight = gguf.dequantize(tensor.data, tensor.tensor_type)
        projection = name.split(".")[-2]
        if projection in heads:
            weight = _halves_from_pairs(weight, heads[projection])
        weights[name] = np.ascontiguousarray(weight.astype(np.float16))
    save_file(weights, path, metadata={"format": "pt"})


def _halves_from_pairs(weight: np.ndarray[Any, Any], num_heads: int) -> np.ndarray[Any, Any]:
    """Reorder the rows of each head: GGUF rotates neighbours (0, 1), transformers rotates halves (0, head_dim / 2)."""
    rows, columns = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """Write the byte-level tokenizer, which takes digits apart as SmolLM's does where the file says so."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if metadata["tokenizer.ggml.pre"] == "smollm" else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "model_input_names": ["input_ids", "attention_mask"],
    }
    for role, name in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if token_id is not None:
            settings[f"{role}_token"] = tokens[token_id]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
