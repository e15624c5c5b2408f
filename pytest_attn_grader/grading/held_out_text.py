"""Held-out text: passages that the model was not trained on, and its loss on them with another attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pytest_attn_grader.grading.experiments import next_token_loss, own_token_loss
from pytest_attn_grader.models.architectures import is_causal_model, without_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.models.types import LoadedModel

MAX_TOKENS = 64
# Those that are compared in detail.
MAX_HELD_OUT_TEXTS = 3

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


class PassageResult(NamedTuple):
    """The loss, attentions and logits of one model on one passage.

    Attributes:
        input_ids: ``(1, tokens)``.
        loss: mean loss in nats, of each next token; in an encoder of each token at its own position.
        attentions: of each layer, ``(1, num_heads, tokens, tokens)``; when compared closely, else empty.
        logits: ``(tokens, vocab_size)``, likewise.
    """

    input_ids: Tensor
    loss: float
    attentions: tuple[Tensor, ...] = ()
    logits: Tensor | None = None

    def without_details(self) -> PassageResult:
        return PassageResult(self.input_ids, self.loss)


@torch.inference_mode()
def evaluate_passage(model: PreTrainedModel, input_ids: Tensor, *, closely: bool = False) -> PassageResult:
    """Run a model on a passage, `(1, tokens)`; large tensors are kept only when it is compared closely."""
    outputs = model(input_ids, output_attentions=closely, **without_cache(model))
    loss = next_token_loss if is_causal_model(model) else own_token_loss
    reading = PassageResult(input_ids, float(loss(outputs.logits, input_ids)))
    return reading._replace(attentions=outputs.attentions, logits=outputs.logits[0].cpu()) if closely else reading


def mean_loss(readings: Sequence[PassageResult]) -> float:
    """Mean next-token loss in nats over all tokens of several passages."""
    predicted = [reading.input_ids.shape[-1] - 1 for reading in readings]
    return sum(reading.loss * count for reading, count in zip(readings, predicted, strict=True)) / sum(predicted)
