"""Experiments with the student's attention that take several calls: training, gradients, continuations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from pytest_attn_grader.attention.dropout import (
    MAX_RESIDUAL,
    Dropout,
    estimate_dropout,
    exact_weights,
    is_zero_or_scaled,
)
from pytest_attn_grader.attention.probes import (
    Probe,
    ProbeResult,
    in_train_mode,
    perturb_future,
    real_rows,
    without_gradients,
)
from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.concurrency import run_with_both
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.models.architectures import without_cache
from pytest_attn_grader.results.submission import Failure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.submission.student_attention import StudentAttention

NEW_TOKENS = 8
# A larger distance from the float64 reference means that the forward pass computes in a lower precision.
FLOAT64_ERROR = 1e-9


@dataclass(frozen=True)
class TrainingRun:
    """Attributes:
    change_between_calls: largest difference between two calls in training; 0 when both drop the same, or nothing.
    change_in_training: largest difference between a call in training and one outside of it; 0 when nothing is dropped.
    leak: how far earlier outputs move when later tokens change, the dropped positions being the same.
    dropout: what became of the weights; None when the output is not made of its weights by dropout.
    is_weighted_sum: whether the output outside of training is a weighted sum of the values, so that `dropout` counts.
    drops_output_only: whether numbers of the output are 0 in training and the others scaled by one factor.
    sums_to_one: whether the output in training is one too, with weights that still sum to 1 in every row, or are all 0.
    """

    change_between_calls: float = 0.0
    change_in_training: float = 0.0
    leak: float = 0.0
    dropout: Dropout | None = None
    is_weighted_sum: bool = False
    drops_output_only: bool = False
    sums_to_one: bool = False
    failure: Failure | None = None


def run_training(student: StudentAttention, probe: Probe, dropout_p: float, first_changed: int) -> TrainingRun:
    """Call the student outside of training, in training with two seeds, and with the first seed and another future."""
    training = in_train_mode(probe, dropout_p)
    other_seed = replace(training, seed=training.seed + 1)
    other_future = replace(perturb_future(training, first_changed), seed=training.seed)
    records = [student.run_probe(each) for each in (without_gradients(probe), training, other_seed, other_future)]
    failure = next((record.failure for record in records if record.failure is not None), None)
    if failure is not None:
        return TrainingRun(failure=failure)
    evaluated, first, second, future = (_output_of(record) for record in records)
    observation = Observation(training, records[1])
    attn_weights = exact_weights(evaluated, probe)
    return TrainingRun(
        change_between_calls=observation.error_between(first, second),
        change_in_training=observation.error_between(evaluated, first),
        leak=observation.error_between(first, future, until=first_changed),
        dropout=estimate_dropout(first, attn_weights, training),
        is_weighted_sum=attn_weights is not None,
        drops_output_only=_drops_output_only(evaluated, first, probe),
        sums_to_one=_sums_to_one(exact_weights(first, training), training),
    )


def _drops_output_only(evaluated: Tensor, trained: Tensor, probe: Probe) -> bool:
    if trained.shape != evaluated.shape:
        return False
    before, after = (real_rows(output.double(), probe) for output in (evaluated, trained))
    known = before.abs() > MAX_RESIDUAL
    return is_zero_or_scaled(after[known] / before[known])


def _sums_to_one(attn_weights: Tensor | None, probe: Probe) -> bool:
    if attn_weights is None:
        return False
    sums = real_rows(attn_weights, probe).sum(dim=-1)
    # A row that lost all of its weights is 0.
    left = sums[sums.abs() > MAX_RESIDUAL]
    return left.numel() > 0 and float((left - 1).abs().max()) < MAX_RESIDUAL


def _output_of(record: ProbeResult) -> Tensor:
    if record.attn_output is None:
        raise ValueError("a record without failure must hold an output")
    return record.attn_output


@dataclass(frozen=True)
class GradcheckResult:
    """Attributes:
    message: what disagrees; empty when nothing does.
    skipped: why finite differences mean nothing here; empty when they were taken.
    """

    message: str = ""
    skipped: str = ""
    failure: Failure | None = None


def run_gradcheck(student: StudentAttention, *, seed: int) -> GradcheckResult:
    """Compare the student's backward pass with finite differences on a tiny float64 input."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(1, 2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    keep_mask = causal_keep_mask(3, 3, sliding_window=student.sliding_window)[None, None] | student.is_bidirectional

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = student(query, key, value, keep_mask)
        return result[0] if isinstance(result, tuple) else result

    try:
        query, key, value = (tensor.detach() for tensor in inputs)
        prepared = (query, key) if student.preparation is None else student.preparation(query, key)
        exact, _ = reference_attention(*prepared, value, keep_mask)
        error = float((attention(query, key, value) - exact).abs().max())
        if error > FLOAT64_ERROR:
            return GradcheckResult(skipped=f"it computes in a lower precision inside (off by {error:.1g} in float64)")
        # In random directions: every entry of the Jacobian by itself would be hundreds of calls of the worker.
        torch.autograd.gradcheck(attention, inputs, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True)
    except SubmissionError as error:
        return GradcheckResult(failure=Failure.from_error(error))
    except GradcheckError as error:
        return GradcheckResult(message=str(error).strip().splitlines()[0])
    return GradcheckResult()


@dataclass(frozen=True)
class GradientFlow:
    """The gradient of the prompt's loss with respect to the token embeddings, of both models."""

    student_norm: float = 0.0
    reference_norm: float = 0.0
    relative_error: float = float("inf")
    failure: Failure | None = None


def run_gradient_flow(model: PreTrainedModel, student_model: PreTrainedModel, input_ids: Tensor) -> GradientFlow:
    """Send the next-token loss back through both models."""
    try:
        reference, student = run_with_both("gradient", _embedding_gradient, model, student_model, input_ids)
    except SubmissionError as error:
        return GradientFlow(failure=Failure.from_error(error))
    return GradientFlow(
        student_norm=float(student.norm()),
        reference_norm=float(reference.norm()),
        relative_error=float((student - reference).norm() / reference.norm()),
    )


def _embedding_gradient(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Through `inputs_embeds`, not through the weight: with tied embeddings the output layer would drown the rest."""
    embeddings = model.get_input_embeddings()(input_ids).detach().requires_grad_()
    logits = model(inputs_embeds=embeddings, **without_cache(model)).logits
    loss = next_token_loss(logits, input_ids)
    gradient: Tensor = torch.autograd.grad(loss, embeddings)[0]
    return gradient.double()


def next_token_loss(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Mean cross entropy in nats of each next token.

    Not through transformers' `labels`: which loss that means depends on the model's config.

    Args:
        logits: ``(1, tokens, vocab_size)``.
        input_ids: ``(1, tokens)``.
    """
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), input_ids[0, 1:])


def own_token_loss(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Mean cross entropy in nats of each token at its own position, where an encoder predicts it; as above."""
    return torch.nn.functional.cross_entropy(logits[0].float(), input_ids[0])


@dataclass(frozen=True)
class Continuations:
    """The greedy continuation of the prompt by both models."""

    reference: str = ""
    student: str = ""
    failure: Failure | None = None


def run_continuations(
    model: PreTrainedModel,
    student_model: PreTrainedModel,
    tokenizer: Any,
    input_ids: Tensor,
    *,
    use_cache: bool,
    reference: str | None = None,
) -> Continuations:
    """Continue the prompt by `NEW_TOKENS` tokens with both models.

    Args:
        reference: the reference's continuation, where it is known: with and without a cache it is the same.
    """
    room = int(model.config.max_position_embeddings) - input_ids.shape[-1]
    new_tokens = min(NEW_TOKENS, room)

    def continue_prompt(one: PreTrainedModel, ids: Tensor) -> str | SubmissionError:
        try:
            return str(tokenizer.decode(_continue_greedily(one, ids, new_tokens, use_cache=use_cache)))
        except SubmissionError as error:
            return error

    student: str | SubmissionError
    if reference is None:
        name = ("continuation", new_tokens, use_cache)
        found, student = run_with_both(name, continue_prompt, model, student_model, input_ids)
        reference = str(found)
    else:
        student = continue_prompt(student_model, input_ids)
    if isinstance(student, SubmissionError):
        return Continuations(reference=reference, failure=Failure.from_error(student))
    return Continuations(reference=reference, student=student)


@torch.inference_mode()
def _continue_greedily(model: PreTrainedModel, input_ids: Tensor, new_tokens: int, *, use_cache: bool) -> list[int]:
    """Append the most likely token again and again, as `generate` does."""
    # logits of the last token alone, where the model can: an output layer takes as long as all others together
    parameters = inspect.signature(model.forward).parameters
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
    cache_name = "cache" if "cache" in parameters else "past_key_values"  # renamed in transformers 5.24
    written: list[int] = []
    cache = None
    current = input_ids
    for _ in range(new_tokens):
        output = model(current, use_cache=use_cache, **{cache_name: cache}, **last_only)
        token = output.logits[:, -1:].argmax(dim=-1)
        written.append(int(token))
        if use_cache:
            cache, current = output[cache_name], token
        else:
            current = torch.cat([current, token], dim=-1)
    return written
