"""Check a model folder: is everything there, whole, and a language model? Loads no weights and runs no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pytest_attn_grader.models.types import ModelSourceError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS_SHARDS = "model-*-of-*.safetensors"

# Any one of these sets is enough for a tokenizer.
TOKENIZER_SETS: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
)
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# How the name of a class with a language modelling head ends.
LANGUAGE_MODEL_HEADS = ("LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForPreTraining")
# Pretrained to tell replaced tokens, pairs of sentences or sounds, not to predict tokens.
_OTHER_PRETRAINING = ("ElectraForPreTraining", "Wav2Vec2ForPreTraining", "ViTMAEForPreTraining")
_ENCODER_DECODERS = ("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "encoder-decoder", "whisper")
_OTHER_SENSES = ("vision_config", "audio_config", "image_size", "num_mel_bins", "speech_config")
# Types of models whose scores are limited by a soft-cap where the configuration does not say otherwise.
_SOFT_CAPPED = ("gemma2", "vaultgemma")
# Types of models whose heads have a sink: a learned score beside those of the keys, to which weight goes.
_WITH_SINKS = (
    "gpt_oss",
    "granite_swa",
    "granitemoe_swa",
    "mimo_v2_flash",
    "deepseek_v4",
    "hy_v4",
    "flint",
    "openai_privacy_filter",
)
_LFS_POINTER = b"version https://git-lfs"


def missing_parts(folder: Path) -> list[str]:
    """Name what `folder` lacks to be loaded: its configuration, its weights, its tokenizer."""
    missing = []
    if not (folder / CONFIG).is_file():
        missing.append(CONFIG)
    if not (folder / WEIGHTS).is_file() and not (folder / WEIGHTS_INDEX).is_file():
        missing.append(WEIGHTS)
    elif (folder / WEIGHTS_INDEX).is_file():
        missing += [name for name in _shard_names(folder) if not (folder / name).is_file()]
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_SETS):
        missing.append("a tokenizer (tokenizer.json, or vocab.json and merges.txt, or vocab.txt)")
    return missing


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that hold the weights: one file, or the shards that the index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    return [folder / name for name in _shard_names(folder)]


def check_checkpoint(folder: Path, *, remedy: str) -> dict[str, Any]:
    """Make sure that `folder` holds a whole model that needs no code from the folder, and return its configuration."""
    missing = missing_parts(folder)
    pickles = [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]
    if WEIGHTS in missing and pickles:
        raise ModelSourceError(
            f"there is no {WEIGHTS} in {folder}, only a pickle ({pickles[0]}), which can run any code when opened",
            "Save it again with model.save_pretrained(folder), which writes safetensors.",
        )
    if missing:
        raise ModelSourceError(
            f"{folder} lacks {' and '.join(missing)}",
            "A model folder is what model.save_pretrained(folder) and tokenizer.save_pretrained(folder) write.",
        )
    try:
        config = read_config(folder / CONFIG, remedy=remedy)
        check_language_model(config, folder)
        for weights in weight_files(folder):
            _check_safetensors(weights, remedy=remedy)
        return config
    except OSError as error:
        raise ModelSourceError(f"{folder} cannot be read: {error}", "Make its files readable for this user.") from error


def check_language_model(config: Mapping[str, Any], where: object) -> None:
    """Make sure, by its configuration alone, that a model predicts text from text by one stack of plain attentions."""
    names = config.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    senses = [name for name in _OTHER_SENSES if config.get(name)]
    if config.get("is_encoder_decoder") or config["model_type"] in _ENCODER_DECODERS:
        why = f"{where} is an encoder with a decoder (model_type {config['model_type']!r})"
    elif senses:
        why = f"{where} reads more than text: its configuration has {senses[0]!r}"
    elif architecture and not architecture.endswith(LANGUAGE_MODEL_HEADS):
        why = f"{where} has no language modelling head: its configuration names {architecture!r}"
    elif architecture in _OTHER_PRETRAINING:
        why = f"{where} has a head that does not predict tokens: its configuration names {architecture!r}"
    else:
        _check_attention(config, where)
        return
    raise ModelSourceError(why, "Take a model that predicts tokens, such as distilgpt2, or --attn-model=mini.")


def _check_attention(config: Mapping[str, Any], where: object) -> None:
    """Refuse a soft-cap and sinks."""
    soft_cap = config.get("attn_logit_softcapping", 50 if config["model_type"] in _SOFT_CAPPED else None)
    if soft_cap:
        why = f"the attention of {where} limits its scores with a soft-cap (attn_logit_softcapping is {soft_cap})"
    elif config["model_type"] in _WITH_SINKS:
        why = f"the heads of {where} have a learned sink beside the keys (model_type {config['model_type']!r})"
    else:
        return
    raise ModelSourceError(
        f"{why}, which a function of query, key, value and mask cannot have",
        "Take a model without it, such as Qwen3, Mistral or Gemma 3, or --attn-model=mini-llama.",
    )


def file_sha256(path: Path) -> str:
    """Checksum of a file in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _shard_names(folder: Path) -> list[str]:
    try:
        index = json.loads((folder / WEIGHTS_INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
        if all(Path(name).name == name for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    # An index that cannot be read, or that points out of its folder, names nothing: the weights are what is missing.
    return [WEIGHTS]


def _check_safetensors(path: Path, *, remedy: str) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise ModelSourceError(
                f"{path} is a Git LFS pointer of {size} bytes, not the weights themselves",
                "Fetch the real file with 'git lfs install' and 'git lfs pull' in that folder.",
            )
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        why = f"{path} has {size} bytes and is truncated, damaged or not a safetensors file: {error}"
        raise ModelSourceError(why, remedy) from None


def read_config(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a config.json that says which type of model it is; raises ModelSourceError when it does not."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelSourceError(f"{path} is not JSON: {error}", remedy) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelSourceError(
            f"{path} does not say which kind of model it is (no 'model_type')",
            "Take the config.json that model.save_pretrained(folder) writes.",
        )
    return config
