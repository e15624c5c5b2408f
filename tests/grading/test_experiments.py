from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, build_probe
from pytest_attn_grader.grading.experiments import (
    NEW_TOKENS,
    next_token_loss,
    run_continuations,
    run_gradcheck,
    run_gradient_flow,
    run_training,
)
from pytest_attn_grader.model_utils import replace_attention_mechanism
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.models.types import LoadedModel
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE
from pytest_attn_grader.submission.function_attention import FunctionAttention

StudentOf = Callable[..., FunctionAttention]

SOURCE = """
import math
import torch
from torch.nn import functional as F

def weights_of(query, key, mask):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    return scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)

def attention(query, key, value, mask, {parameters}):
{body}
"""


def source(body: str, parameters: str = "**_") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return SOURCE.format(parameters=parameters, body=lines)


@pytest.fixture
def input_ids(mini: LoadedModel) -> torch.Tensor:
    return tokenize_prompt(PROMPT_EXAMPLE, mini).input_ids


@pytest.fixture
def patched(mini: LoadedModel, student_of: StudentOf) -> Callable[[str], PreTrainedModel]:
    """The embedded model with a submission in its first layer."""

    def make(body: str) -> PreTrainedModel:
        model: PreTrainedModel = replace_attention_mechanism(mini.model, student_of(source(body)), 0)
        return model

    return make


RIGHT = "return weights_of(query, key, mask) @ value"
FAILS_LATER = "assert query.shape[0] == 3, 'only three examples'\n" + RIGHT

# --- gradcheck --------------------------------------------------------------------------------------------------------

CUSTOM = """
class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value * 2
    @staticmethod
    def backward(ctx, upstream):
        return upstream * {factor}
return weights_of(query, key, mask) @ Scaled.apply(value) / 2
"""


def test_gradcheck_of_a_right_backward(reference_student: FunctionAttention) -> None:
    result = run_gradcheck(reference_student, seed=1)
    assert (result.message, result.skipped, result.failure) == ("", "", None)


@pytest.mark.parametrize(("factor", "agrees"), [(2, True), (3, False), (0, False)])
def test_gradcheck_of_a_backward_written_by_hand(factor: int, agrees: bool, student_of: StudentOf) -> None:
    result = run_gradcheck(student_of(source(CUSTOM.format(factor=factor))), seed=1)
    assert (result.message == "") is agrees
    assert agrees or result.message.startswith("Jacobian mismatch for output 0 with respect to input 2")
    assert "\n" not in result.message


@pytest.mark.parametrize(
    "body",
    [
        "return weights_of(query.detach(), key, mask) @ value",
        "with torch.no_grad():\n    return weights_of(query, key, mask) @ value",
        "return (weights_of(query, key, mask) @ value).detach()",
    ],
)
def test_gradcheck_of_a_gradient_that_is_lost(body: str, student_of: StudentOf) -> None:
    result = run_gradcheck(student_of(source(body)), seed=1)
    assert result.message
    assert result.failure is None


def test_gradcheck_means_nothing_in_a_lower_precision(student_of: StudentOf) -> None:
    body = "return (weights_of(query.float(), key.float(), mask) @ value.float()).to(query.dtype)"
    result = run_gradcheck(student_of(source(body)), seed=1)
    assert result.skipped.startswith("it computes in a lower precision inside (off by ")
    assert (result.message, result.failure) == ("", None)


def test_gradcheck_of_nan_is_no_pass(student_of: StudentOf) -> None:
    result = run_gradcheck(student_of(source("return query * float('nan')")), seed=1)
    assert result.message or result.skipped


def test_gradcheck_of_one_that_fails(student_of: StudentOf) -> None:
    result = run_gradcheck(student_of(source(FAILS_LATER)), seed=1)
    assert result.failure is not None
    assert result.failure.message == "AssertionError: only three examples"


def test_gradcheck_of_one_whose_backward_fails(student_of: StudentOf) -> None:
    body = CUSTOM.format(factor="[]")
    result = run_gradcheck(student_of(source(body)), seed=1)
    assert result.failure is not None
    assert result.failure.name == "raised"


# --- gradients through the model --------------------------------------------------------------------------------------


def test_gradients_reach_the_embeddings_as_the_models_own_do(mini, input_ids, reference_student) -> None:
    student_model = replace_attention_mechanism(mini.model, reference_student, 0)
    flow = run_gradient_flow(mini.model, student_model, input_ids)
    assert flow.failure is None
    assert flow.relative_error < 1e-4
    assert flow.student_norm == pytest.approx(flow.reference_norm, rel=1e-4)
    # The loss's gradient once more, along the usual way: through the embeddings' own weights.
    weight = mini.model.get_input_embeddings().weight
    seen: dict[str, torch.Tensor] = {}

    def remember(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        seen["embedded"] = output.detach().requires_grad_()
        return seen["embedded"]

    hook = mini.model.get_input_embeddings().register_forward_hook(remember)
    try:
        loss = mini.model(input_ids, labels=input_ids).loss
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(loss, seen["embedded"])
    assert flow.reference_norm == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert weight.grad is None


def test_a_lost_gradient_changes_the_flow(mini, input_ids, patched) -> None:
    flow = run_gradient_flow(mini.model, patched("return (weights_of(query, key, mask) @ value).detach()"), input_ids)
    assert flow.failure is None
    assert flow.relative_error > 1e-2


@pytest.mark.parametrize("body", [FAILS_LATER, CUSTOM.format(factor="[]")])
def test_a_failure_on_the_way_is_a_result(body: str, mini, input_ids, patched) -> None:
    flow = run_gradient_flow(mini.model, patched(body), input_ids)
    assert flow.failure is not None
    assert flow.failure.name == "raised"
    assert flow.relative_error == float("inf")


def test_next_token_loss_token_by_token() -> None:
    logits = torch.randn(1, 5, 7)
    ids = torch.tensor([[3, 0, 6, 6, 1]])
    expected = [-logits[0, place].log_softmax(-1)[ids[0, place + 1]] for place in range(4)]
    torch.testing.assert_close(next_token_loss(logits, ids), torch.stack(expected).mean())


# --- continuations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_cache", [True, False])
def test_continuations_are_those_of_generate(use_cache: bool, mini, input_ids, reference_student) -> None:
    student_model = replace_attention_mechanism(mini.model, reference_student, 0)
    said = run_continuations(mini.model, student_model, mini.tokenizer, input_ids, use_cache=use_cache)
    assert said.failure is None
    assert said.student == said.reference != ""
    generated = mini.model.generate(
        input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        use_cache=use_cache,
        pad_token_id=0,
        eos_token_id=None,
    )
    assert said.reference == mini.tokenizer.decode(generated[0, input_ids.shape[1] :])


def test_a_cache_shows_a_mask_that_forgets_the_past(mini, input_ids, patched) -> None:
    # Aligned at the top left: right without a cache, wrong with one.
    body = (
        "keep = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool).tril()\n"
        "return weights_of(query, key, keep) @ value"
    )
    student_model = patched(body)
    without = run_continuations(mini.model, student_model, mini.tokenizer, input_ids, use_cache=False)
    assert without.student == without.reference
    with_cache = run_continuations(mini.model, student_model, mini.tokenizer, input_ids, use_cache=True)
    assert with_cache.reference == without.reference
    assert with_cache.student != with_cache.reference


def test_a_continuation_that_fails(mini, input_ids, patched) -> None:
    said = run_continuations(mini.model, patched(FAILS_LATER), mini.tokenizer, input_ids, use_cache=True)
    assert said.failure is not None
    assert said.reference
    assert said.student == ""


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_continuation_keeps_within_the_context(room: int) -> None:
    class Counter:
        """A model whose next token is how many there have been."""

        config = SimpleNamespace(max_position_embeddings=3 + room)
        device = torch.device("cpu")

        def num_parameters(self) -> int:
            return 0

        def forward(self, ids: torch.Tensor, **_: Any) -> Any:
            logits = torch.nn.functional.one_hot(torch.tensor([[ids.shape[1]]]), 200).float()
            return SimpleNamespace(logits=logits, past_key_values=None)

        __call__ = forward

    class Words:
        def decode(self, ids: list[int]) -> str:
            return " ".join(map(str, ids))

    model: Any = Counter()
    said = run_continuations(model, model, Words(), torch.zeros(1, 3, dtype=torch.long), use_cache=False)
    assert said.reference == " ".join(str(3 + step) for step in range(min(room, NEW_TOKENS)))


# --- training ---------------------------------------------------------------------------------------------------------

DROPS = "dropout_p=0.0, training=False"


@pytest.fixture
def probe() -> Probe:
    return build_probe(SPEC_BY_NAME["basic"], seed=2)


def test_dropout_on_the_weights(probe: Probe, student_of: StudentOf) -> None:
    body = "return F.dropout(weights_of(query, key, mask), dropout_p, training) @ value"
    run = run_training(student_of(source(body, DROPS)), probe, 0.5, 5)
    assert run.failure is None
    assert run.change_between_calls > 0.1
    assert run.leak == 0.0


def test_no_dropout_at_all(probe: Probe, student_of: StudentOf) -> None:
    run = run_training(student_of(source(RIGHT, DROPS)), probe, 0.5, 5)
    assert (run.change_between_calls, run.leak) == (0.0, 0.0)


def test_dropout_on_the_scores_lets_the_future_in(probe: Probe, student_of: StudentOf) -> None:
    body = (
        "scores = (query @ key.mT / 8).masked_fill(~mask, -1e9)\n"
        "return F.dropout(scores, dropout_p, training).softmax(-1) @ value"
    )
    assert run_training(student_of(source(body, DROPS)), probe, 0.5, 5).leak > 0.1


def test_one_that_fails_in_training(probe: Probe, student_of: StudentOf) -> None:
    body = "assert not training, 'not ready for training'\n" + RIGHT
    run = run_training(student_of(source(body, DROPS)), probe, 0.5, 5)
    assert run.failure is not None
    assert "not ready for training" in run.failure.message


def test_another_shape_in_training_is_infinitely_far(probe: Probe, student_of: StudentOf) -> None:
    body = "return query[..., :1] if training else " + RIGHT.removeprefix("return ")
    run = run_training(student_of(source(body, DROPS)), probe, 0.5, 5)
    assert run.failure is None
    body = "import random\nreturn query[:, :, : random.randint(1, 9)] if training else query * 1"
    run = run_training(student_of(source(body, DROPS)), probe, 0.5, 5)
    assert run.change_between_calls == float("inf")
