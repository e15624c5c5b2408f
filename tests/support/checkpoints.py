"""Model folders made on the spot: random weights, always the same ones, and attention that looks somewhere."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

REPO_ROOT = Path(__file__).resolve().parents[2]
_SHARED_TOKENIZER = REPO_ROOT.parent / "shared" / "gpt2-tokenizer"
_END_OF_TEXT = "<|endoftext|>"
_WORDS = ("The", " cat", " sat", " on", " the", " mat", " dog", " ran", " to", " a", " house", " and", " saw", ".")


def distilgpt2_shaped(folder: Path) -> Path:
    """Write a checkpoint of distilgpt2's shape and size: 6 layers, 12 heads, 768 wide, 50,257 tokens, 353 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = _SHARED_TOKENIZER / "vocab.json", _SHARED_TOKENIZER / "merges.txt"
    if vocabulary.is_file() and merges.is_file():
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [(left, right) for left, _, right in (line.partition(" ") for line in lines[1:] if line)]
        _write_tokenizer(folder, json.loads(vocabulary.read_text(encoding="utf-8")), pairs)
    else:
        _write_tokenizer(folder, *_small_vocabulary(50_257))
    return _write_gpt2(folder, num_layers=6, num_heads=12, hidden_size=768, vocab_size=50_257, max_positions=1024)


def small_gpt2(folder: Path, *, num_layers: int = 2, vocab_size: int = 512, seed: int = 0) -> Path:
    """Write a GPT-2 of a few hundred kilobytes in which "The cat sat on the mat" is six tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, *_small_vocabulary(vocab_size))
    return _write_gpt2(
        folder,
        num_layers=num_layers,
        num_heads=2,
        hidden_size=128,
        vocab_size=vocab_size,
        max_positions=64,
        seed=seed,
    )


def _write_gpt2(
    folder: Path,
    *,
    num_layers: int,
    num_heads: int,
    hidden_size: int,
    vocab_size: int,
    max_positions: int,
    seed: int = 0,
) -> Path:
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_layer": num_layers,
        "n_head": num_heads,
        "n_embd": hidden_size,
        "n_positions": max_positions,
        "n_ctx": max_positions,
        "vocab_size": vocab_size,
        "bos_token_id": vocab_size - 1,
        "eos_token_id": vocab_size - 1,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    end_of_text = {"bos_token_id": vocab_size - 1, "eos_token_id": vocab_size - 1, "_from_model_config": True}
    (folder / "generation_config.json").write_text(json.dumps(end_of_text), encoding="utf-8")
    tensors = _gpt2_tensors(num_layers, hidden_size, vocab_size, max_positions, seed)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _gpt2_tensors(
    num_layers: int, hidden_size: int, vocab_size: int, max_positions: int, seed: int
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 0.02) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * std

    tensors = {
        "transformer.wte.weight": normal(vocab_size, hidden_size, std=0.1),
        "transformer.wpe.weight": normal(max_positions, hidden_size, std=0.05),
        "transformer.ln_f.weight": torch.ones(hidden_size),
        "transformer.ln_f.bias": torch.zeros(hidden_size),
    }
    # The input of a layer has variance 1, so this makes attention scores of about 2: neither uniform nor one-hot.
    query_key_std = (2.0 / hidden_size) ** 0.5
    for layer_idx in range(num_layers):
        layer = f"transformer.h.{layer_idx}"
        query_key_value = torch.cat(
            [normal(hidden_size, 2 * hidden_size, std=query_key_std), normal(hidden_size, hidden_size, std=0.05)], dim=1
        )
        tensors |= {
            f"{layer}.ln_1.weight": torch.ones(hidden_size),
            f"{layer}.ln_1.bias": torch.zeros(hidden_size),
            # Checkpoints of that age carry their causal mask along; it is why distilgpt2 is 353 MB and not 328.
            f"{layer}.attn.bias": torch.ones(max_positions, max_positions).tril()[None, None],
            f"{layer}.attn.c_attn.weight": query_key_value,
            f"{layer}.attn.c_attn.bias": normal(3 * hidden_size),
            f"{layer}.attn.c_proj.weight": normal(hidden_size, hidden_size, std=0.05),
            f"{layer}.attn.c_proj.bias": normal(hidden_size),
            f"{layer}.ln_2.weight": torch.ones(hidden_size),
            f"{layer}.ln_2.bias": torch.zeros(hidden_size),
            f"{layer}.mlp.c_fc.weight": normal(hidden_size, 4 * hidden_size),
            f"{layer}.mlp.c_fc.bias": normal(4 * hidden_size),
            f"{layer}.mlp.c_proj.weight": normal(4 * hidden_size, hidden_size),
            f"{layer}.mlp.c_proj.bias": normal(hidden_size),
        }
    return tensors


def _byte_symbols() -> list[str]:
    """GPT-2's 256 printable stand-ins for bytes, in the order of its vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def _small_vocabulary(vocab_size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level vocabulary in which each of `_WORDS` is one token, filled up to `vocab_size`."""
    tokens = _byte_symbols()
    pairs: list[tuple[str, str]] = []
    for word in _WORDS:
        symbols = list(word.replace(" ", "Ġ"))
        while len(symbols) > 1:
            # Pieces that are tokens already stay together, or another word's merges would get in the way.
            pair = next((two for two in itertools.pairwise(symbols) if two in pairs), (symbols[0], symbols[1]))
            at = next(i for i in range(len(symbols) - 1) if (symbols[i], symbols[i + 1]) == pair)
            symbols[at : at + 2] = ["".join(pair)]
            if pair not in pairs:
                pairs.append(pair)
                tokens.append("".join(pair))
    tokens = list(dict.fromkeys(tokens))
    tokens += [f"<unused{index}>" for index in range(vocab_size - 1 - len(tokens))]
    return {token: index for index, token in enumerate([*tokens, _END_OF_TEXT])}, pairs


def _write_tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([_END_OF_TEXT])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1024}', encoding="utf-8")


# Of a model with groups of heads, for `small_family`.
SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def small_family(folder: Path, config: Any) -> Path:
    """Write a small model of any architecture, with random weights whose attention looks somewhere, and a tokenizer.

    Args:
        config: a transformers configuration with a vocabulary of 512.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, *_small_vocabulary(512))
    # Not the architecture's own class: BERT's would look for pieces of words.
    settings = {"model_max_length": config.max_position_embeddings, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    auto_class: Any = AutoModelForMaskedLM if "bert" in config.model_type else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = auto_class.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=(2.0 / parameter.shape[-1]) ** 0.5)
            elif name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder, safe_serialization=True)
    return folder
