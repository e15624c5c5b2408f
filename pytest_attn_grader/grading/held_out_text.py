"""Held-out text: passages that the model was not trained on, to measure the loss with another attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

MAX_TOKENS = 64

# Written for this package: names, places and objects are repeated, so that looking back helps a model.
ENGLISH_PASSAGES = (
    "Nadia put the brass key under the third flower pot and wrote down where it was. When her brother came home late "
    "that evening, he looked under the first pot and the second pot before he found the brass key under the third.",
    "The ferry to the island leaves at nine in the morning and again at four in the afternoon. If you miss the ferry "
    "at nine, you will have to wait at the harbour until the ferry at four, because there is no other way to go.",
    "The recipe asks for two eggs, a cup of flour and a little salt. She had the flour and the salt, but there was "
    "only one egg left in the house, so she asked the neighbour for another egg and gave him a slice of the cake.",
)


def held_out_passages(loaded: LoadedModel) -> tuple[Tensor, ...]:
    """A few passages as `(1, tokens)` on the model's device; `mini` has passages in its own small language."""
    texts: tuple[str, ...] = ENGLISH_PASSAGES
    if loaded.source == "embedded":
        from pytest_attn_grader.models.mini import read_held_out_passages

        texts = read_held_out_passages()
    limit = min(MAX_TOKENS, int(loaded.model.config.max_position_embeddings))
    encoded = (loaded.tokenizer(text, return_tensors="pt")["input_ids"][:, :limit] for text in texts)
    return tuple(input_ids.to(loaded.device) for input_ids in encoded)
