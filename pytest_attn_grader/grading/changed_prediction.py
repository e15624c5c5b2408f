"""Find where in a held-out text the student's attention changes the token that the model predicts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.results.comparison import ChangedPrediction, NextToken

SHOWN_TOKENS = 5
CONTEXT_TOKENS = 24
# With less context the model itself is guessing.
MIN_CONTEXT_TOKENS = 4


def find_changed_prediction(
    tokenizer: Any, input_ids: Tensor, student_logits: Tensor, reference_logits: Tensor
) -> ChangedPrediction | None:
    """Return the clearest change of a prediction in a text; None when there is none.

    The clearest change is where the reference predicts the text's next token with the highest probability and the
    student's model predicts another one.

    Args:
        input_ids: ``(tokens,)``.
        student_logits, reference_logits: ``(tokens, vocab_size)``, on the CPU.
    """
    expected = input_ids[1:].cpu()
    reference, student = reference_logits[:-1], student_logits[:-1]
    if not bool(student.isfinite().all()):
        return None
    best = reference.argmax(-1)
    changed = (best == expected) & (student.argmax(-1) != best)
    changed[: MIN_CONTEXT_TOKENS - 1] = False
    if not changed.any():
        return None
    certainty = reference.gather(-1, expected[:, None])[:, 0] - reference.logsumexp(-1)
    position = int(torch.where(changed, certainty, -torch.inf).argmax())
    before = input_ids[max(0, position + 1 - CONTEXT_TOKENS) : position + 1]
    return ChangedPrediction(
        position=position,
        context=tokenizer.decode(before),
        next_token=tokenizer.decode([int(expected[position])]),
        reference=top_tokens(tokenizer, reference[position], SHOWN_TOKENS),
        student=top_tokens(tokenizer, student[position], SHOWN_TOKENS),
    )


def top_tokens(tokenizer: Any, logits: Tensor, count: int) -> tuple[NextToken, ...]:
    """Return the most probable tokens, the most probable first.

    Args:
        logits: ``(vocab_size,)``.
    """
    probabilities, ids = logits.double().softmax(dim=-1).topk(min(count, len(logits)))
    return tuple(
        NextToken(token=tokenizer.decode([token_id]), id=token_id, probability=probability)
        for token_id, probability in zip(ids.tolist(), probabilities.tolist(), strict=True)
    )
