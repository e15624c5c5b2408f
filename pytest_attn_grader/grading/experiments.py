"""Experiments with the student's attention that are more than one probe: training, gradients, continuations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from pytest_attn_grader._utils.fork_cache import once
from pytest_attn_grader.attention.dropout import has_dropped_weights
from pytest_attn_grader.attention.probes import Probe, in_train_mode, perturb_future
from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.concurrency import run_concurrently
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.results.submission import Failure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.submission.student_attention import StudentAttention

NEW_TOKENS = 8
# A forward pass that is further than this from the float64 reference computes in a lower precision inside.
FLOAT64_ERROR = 1e-9


@dataclass(frozen=True)
class TrainingRun:
    """Attributes:
    change_between_calls: largest difference between two calls in training; 0 when nothing is dropped.
    leak: how far earlier outputs move when later tokens change, the dropped positions being the same.
    drops_weights: whether the output is made of the right weights, some set to 0 and the others enlarged alike.
    """

    change_between_calls: float = 0.0
    leak: float = 0.0
    drops_weights: bool = False
    failure: Failure | None = None


def run_training(student: StudentAttention, probe: Probe, dropout_p: float, first_changed: int) -> TrainingRun:
    """Call the student in training: with two seeds, and once more with the first seed and another future."""
    training = in_train_mode(probe, dropout_p)
    other_seed = replace(training, seed=training.seed + 1)
    other_future = replace(perturb_future(training, first_changed), seed=training.seed)
    records = [student.run_probe(each) for each in (training, other_seed, other_future)]
    failure = next((record.failure for record in records if record.failure is not None), None)
    if failure is not None:
        return TrainingRun(failure=failure)
    first, second, future = (record.attn_output for record in records)
    if first is None or second is None or future is None:
        raise ValueError("a record without failure must hold an output")
    observation = Observation(training, records[0])
    return TrainingRun(
        change_between_calls=observation.error_between(first, second),
        leak=observation.error_between(first, future, until=first_changed),
        drops_weights=has_dropped_weights(first, observation.reference.attn_weights, training),
    )


@dataclass(frozen=True)
class GradcheckResult:
    """Attributes:
    message: what disagrees; empty when nothing does.
    skipped: why finite differences mean nothing here; empty when they were taken.
    """

    message: str = ""
    skipped: str = ""
    failure: Failure | None = None


def run_gradcheck(student: StudentAttention, *, seed: int, is_bidirectional: bool = False) -> GradcheckResult:
    """Compare the student's backward pass with finite differences on a tiny float64 input."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(1, 2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    keep_mask = causal_keep_mask(3, 3)[None, None] | is_bidirectional

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = student(query, key, value, keep_mask)
        return result[0] if isinstance(result, tuple) else result

    try:
        query, key, value = (tensor.detach() for tensor in inputs)
        exact, _ = reference_attention(query, key, value, keep_mask)
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
    """The gradient of the prompt's loss with respect to the token embeddings, both ways."""

    student_norm: float = 0.0
    reference_norm: float = 0.0
    relative_error: float = float("inf")
    failure: Failure | None = None


def run_gradient_flow(model: PreTrainedModel, student_model: PreTrainedModel, input_ids: Tensor) -> GradientFlow:
    """Send the next-token loss back through both models."""
    try:
        reference, student = run_concurrently(
            model,
            lambda: once(
                lambda: ("gradient", tuple(input_ids[0].tolist())),
                lambda: _embedding_gradient(model, input_ids),
                owner=model,
            ),
            partial(_embedding_gradient, student_model, input_ids),
        )
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
    logits = model(inputs_embeds=embeddings, use_cache=False).logits
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


@dataclass(frozen=True)
class Continuations:
    """What both models say after the prompt, greedily."""

    reference: str = ""
    student: str = ""
    failure: Failure | None = None


def run_continuations(
    model: PreTrainedModel, student_model: PreTrainedModel, tokenizer: Any, input_ids: Tensor, *, use_cache: bool
) -> Continuations:
    """Continue the prompt by `NEW_TOKENS` tokens with both models."""
    room = int(model.config.max_position_embeddings) - input_ids.shape[-1]
    new_tokens = min(NEW_TOKENS, room)

    def continued(one: PreTrainedModel) -> str:
        said: str = tokenizer.decode(_continue_greedily(one, input_ids, new_tokens, use_cache=use_cache))
        return said

    def attempted() -> str | SubmissionError:
        try:
            return continued(student_model)
        except SubmissionError as error:
            return error

    def known() -> str:
        key = ("continuation", tuple(input_ids[0].tolist()), new_tokens, use_cache)
        return once(lambda: key, partial(continued, model), owner=model)

    reference, student = run_concurrently(model, known, attempted)
    if isinstance(student, SubmissionError):
        return Continuations(reference=reference, failure=Failure.from_error(student))
    return Continuations(reference=reference, student=student)


@torch.inference_mode()
def _continue_greedily(model: PreTrainedModel, input_ids: Tensor, new_tokens: int, *, use_cache: bool) -> list[int]:
    """The most likely token again and again; what `generate` does, without its many options."""
    written: list[int] = []
    cache = None
    current = input_ids
    for _ in range(new_tokens):
        output = model(current, past_key_values=cache, use_cache=use_cache)
        token = output.logits[:, -1:].argmax(dim=-1)
        written.append(int(token))
        if use_cache:
            cache, current = output.past_key_values, token
        else:
            current = torch.cat([current, token], dim=-1)
    return written
