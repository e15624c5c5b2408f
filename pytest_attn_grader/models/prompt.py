"""The prompt as a model's own tokenizer cuts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_attn_grader.errors import UsageError

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel


@dataclass(frozen=True)
class Prompt:
    """Attributes:
    text: as typed.
    input_ids: int64 ``(1, tokens)`` on the model's device.
    tokens: what each id reads as, leading spaces included.
    """

    text: str
    input_ids: Tensor
    tokens: tuple[str, ...]


def tokenize_prompt(text: str, loaded: LoadedModel) -> Prompt:
    """Cut the text into the model's tokens.

    Raises:
        UsageError: fewer than two tokens (nothing to attend to), or more than the model's context holds.
    """
    encoded = loaded.tokenizer(text, return_tensors="pt", truncation=False)
    input_ids: Tensor = encoded["input_ids"].to(loaded.device)
    length, limit = input_ids.shape[-1], int(loaded.model.config.max_position_embeddings)
    if length < 2:
        raise UsageError(f"--attn-prompt={text!r} is {length} token for {loaded.used}: give at least two.")
    if length > limit:
        raise UsageError(f"--attn-prompt is {length} tokens long, and {loaded.used} takes at most {limit}: shorten it.")
    tokens = tuple(loaded.tokenizer.decode([token_id]) for token_id in input_ids[0].tolist())
    return Prompt(text, input_ids, tokens)
