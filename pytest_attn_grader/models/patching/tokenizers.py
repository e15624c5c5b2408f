"""Remember a model's tokenizer: a model does not hold one, and five public signatures have no argument for it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from pytest_attn_grader.errors import PatchingError

# Weak, so that a model that is no longer used is not kept alive by its tokenizer.
_tokenizers: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()


def attach_tokenizer(model: nn.Module, tokenizer: Any) -> None:
    """Remember which tokenizer belongs to a model, for `run_inference_comparison`; patched copies inherit it."""
    _tokenizers[model] = tokenizer


def inherit_tokenizer(duplicate: nn.Module, model: nn.Module) -> None:
    """Give a copy the tokenizer attached to its original, if any."""
    if model in _tokenizers:
        _tokenizers[duplicate] = _tokenizers[model]


def get_tokenizer(model: nn.Module) -> Any:
    """The tokenizer of a model: the one attached to it, else the one stored where the model was loaded from.

    Raises:
        PatchingError: neither is there.
    """
    if model in _tokenizers:
        return _tokenizers[model]
    name = getattr(getattr(model, "config", None), "_name_or_path", "")
    remedy = "Say which it is: attach_tokenizer(model, tokenizer)."
    if not name:
        raise PatchingError(
            f"no tokenizer is known for this {type(model).__name__}, which was not loaded by name. {remedy}"
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as reason:
        raise PatchingError(
            f"no tokenizer can be loaded from {name!r}, where the model is from: {reason}. {remedy}"
        ) from reason
    attach_tokenizer(model, tokenizer)
    return tokenizer


def encode_prompt(prompt: str, model: nn.Module, student_model: nn.Module) -> torch.Tensor:
    """The prompt as ``(1, seq_len)``, int64; raises PatchingError when it is empty or longer than the context."""
    if not isinstance(prompt, str):
        raise PatchingError(f"prompt must be a text, got {type(prompt).__name__}.")
    known = student_model if model not in _tokenizers and student_model in _tokenizers else model
    input_ids: torch.Tensor = get_tokenizer(known)(prompt, return_tensors="pt")["input_ids"].to(torch.int64)  # (1, T)
    if input_ids.numel() == 0:
        raise PatchingError(f"the prompt {prompt!r} has no tokens; give it at least one word.")
    context_tokens = getattr(model.config, "max_position_embeddings", None)
    if context_tokens is not None and input_ids.shape[1] > context_tokens:
        raise PatchingError(
            f"the prompt has {input_ids.shape[1]} tokens, but the model's context is {context_tokens}; shorten it."
        )
    return input_ids
