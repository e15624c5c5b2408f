"""`mini`: the embedded language model, a small GPT-2 of our own, shipped with the package: it needs no network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

__all__ = ["load_mini", "mini_checksum"]

FOLDER = Path(__file__).parent


def load_mini() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The shipped model and its tokenizer: float32, eager attention, eval mode, no network."""
    from .model import load_model, load_tokenizer

    return load_model(FOLDER), load_tokenizer(FOLDER)


def mini_checksum() -> str:
    """The sha256 of the shipped weights, in hexadecimal."""
    from .model import WEIGHTS_FILE

    return hashlib.sha256((FOLDER / WEIGHTS_FILE).read_bytes()).hexdigest()
