"""The predictions of a model: losses on rows of tokens, next tokens after prompts, greedy continuations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch.nn import functional as F
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from pytest_attn_grader.models.mini.model import MiniModel

from .text import Prompt

ROWS_AT_ONCE = 32


@torch.inference_mode()
def measure_loss(model: MiniModel, rows: torch.Tensor) -> float:
    """The mean of -log p(token | tokens before it in its row), in nats, over all tokens but each row's first."""
    total = 0.0
    for batch in torch.split(rows, ROWS_AT_ONCE):
        logits = model(batch, use_cache=False).logits[:, :-1]
        total += F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum").item()
    return total / rows[:, 1:].numel()


@torch.inference_mode()
def predict_next(model: MiniModel, prompts: Sequence[Sequence[int]]) -> list[int]:
    """The most probable next token of each prompt.

    Prompts of the same length go through the model together, none is padded: some wrong attentions look at padding.
    """
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    predicted = [0] * len(prompts)
    for indices in by_length.values():
        logits = model(torch.tensor([list(prompts[index]) for index in indices]), use_cache=False).logits[:, -1]
        for index, token in zip(indices, logits.argmax(-1).tolist(), strict=True):
            predicted[index] = token
    return predicted


def encode_prompts(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The token ids of each prompt's text."""
    return [tokenizer.encode(prompt.text) for prompt in prompts]


def encode_answers(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]) -> list[int]:
    """The token id of each prompt's answer; it is an error if an answer is not one token."""
    answers = [tokenizer.encode(prompt.answer) for prompt in prompts]
    for prompt, answer in zip(prompts, answers, strict=True):
        if len(answer) != 1:
            raise ValueError(f"an answer must be one token, but {prompt.answer!r} is {len(answer)} tokens")
    return [answer[0] for answer in answers]


def share_equal(predicted: Sequence[int], right: Sequence[int]) -> float:
    """The share of positions at which both say the same."""
    return sum(one == other for one, other in zip(predicted, right, strict=True)) / len(right)


def continue_greedily(model: MiniModel, tokenizer: PreTrainedTokenizerFast, text: str, *, max_tokens: int = 6) -> str:
    """The most probable continuation of a text, token by token without a cache, up to the end of its sentence."""
    ids: list[int] = tokenizer.encode(text)
    written: list[int] = []
    for _ in range(max_tokens):
        written.append(predict_next(model, [ids + written])[0])
        if written[-1] == tokenizer.eos_token_id or tokenizer.decode([written[-1]]).endswith("."):
            break
    return str(tokenizer.decode(written))
