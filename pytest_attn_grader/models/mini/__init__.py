"""The embedded language models, shipped with the package: they need no network.

`mini` is a small GPT-2. `mini-llama` is a small Llama: rotary positions, RMSNorm, SwiGLU, groups of heads. Both read
the same tokens.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

    from .model import MiniModel

__all__ = ["load_mini", "mini_checksum", "read_held_out_passages"]

FOLDER = Path(__file__).parent


def load_mini() -> tuple[MiniModel, PreTrainedTokenizerFast]:
    """Load `mini` and its tokenizer: float32, eager attention, eval mode, no network."""
    from .model import load_model, load_tokenizer

    return load_model(FOLDER), load_tokenizer(FOLDER)


def mini_checksum() -> str:
    """Return the sha256 of the weights of `mini`, in hexadecimal."""
    from .model import WEIGHTS_FILE

    return hashlib.sha256((FOLDER / WEIGHTS_FILE).read_bytes()).hexdigest()


def read_held_out_passages() -> tuple[str, ...]:
    """Read a few short stories in the language of the embedded models, which neither was trained on."""
    return tuple(json.loads((FOLDER / "held_out_passages.json").read_text(encoding="utf-8")))
