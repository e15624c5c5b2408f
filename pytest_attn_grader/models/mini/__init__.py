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

__all__ = ["get_folder", "load_mini", "mini_checksum", "read_held_out_passages"]

FOLDER = Path(__file__).parent


def get_folder(name: str = "mini") -> Path:
    """Return the folder that holds the weights of `mini` or `mini-llama`."""
    return {"mini": FOLDER, "mini-llama": FOLDER / "llama"}[name]


def load_mini(name: str = "mini") -> tuple[MiniModel, PreTrainedTokenizerFast]:
    """Load an embedded model and its tokenizer: float32, eager attention, eval mode, no network."""
    from .model import load_model, load_tokenizer

    return load_model(get_folder(name)), load_tokenizer(FOLDER)


def mini_checksum(name: str = "mini") -> str:
    """Return the sha256 of an embedded model's weights, in hexadecimal."""
    from .model import WEIGHTS_FILE

    return hashlib.sha256((get_folder(name) / WEIGHTS_FILE).read_bytes()).hexdigest()


def read_held_out_passages() -> tuple[str, ...]:
    """Read a few short stories in the language of the embedded models, which neither was trained on."""
    return tuple(json.loads((FOLDER / "held_out_passages.json").read_text(encoding="utf-8")))
