from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, build_probe, in_train_mode, max_abs_error
from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.function_ranks import fit_function
from tests.support.students import REFERENCE, Workshop

StudentOf = Callable[..., FunctionAttention]


def attention(body: str, signature: str = "query, key, value, mask=None", before: str = "") -> str:
    """A submission whose function has this body; `weights` and `formula` are there to be used."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""
import math
import torch
from collections import namedtuple
from torch.nn import functional as F
{before}

def _weights(query, key, mask):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1)

def attention({signature}):
{lines}
"""


def probe_of(name: str, seed: int = 11) -> Probe:
    return build_probe(SPEC_BY_NAME[name], seed=seed)


def put(student: FunctionAttention, name: str) -> Observation:
    probe = probe_of(name)
    return Observation(probe, student.run_probe(probe))


def assert_right(student: FunctionAttention, *names: str) -> None:
    for name in names:
        observation = put(student, name)
        assert observation.student.failure is None
        known = observation.tolerance.tolerance
        assert observation.output_error <= known["attn_output"]
        assert observation.weights_error <= known["attn_weights"]
        for which in observation.student.gradients:
            error = (observation.gradient(which).double() - observation.reference_gradient(which)).abs().max()
            assert error <= known[which]


def names_of(student: FunctionAttention) -> list[str]:
    return [adaptation.name for adaptation in student.adaptations]


# --- what fits --------------------------------------------------------------------------------------------------------

MASKED = "weights = _weights(query, key, mask)\n"
BY_ITSELF = "keep = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool).tril(key.size(-2) - query.size(-2))\n"
RIGHT = {
    "plain": (attention(MASKED + "return weights @ value, weights"), []),
    "list": (attention(MASKED + "return [weights @ value, weights]"), []),
    "named tuple": (
        attention(
            MASKED + "return Result(weights @ value, weights)", before="Result = namedtuple('Result', 'out attn')"
        ),
        [],
    ),
    "dict": (attention(MASKED + "return {'attn_weights': weights, 'output': weights @ value}"), []),
    "dict without weights": (attention(MASKED + "return {'context': weights @ value}"), ["weights-recovered"]),
    "more than two results": (attention(MASKED + "return weights @ value, weights, query"), []),
    "output only": (attention(MASKED + "return weights @ value"), ["weights-recovered"]),
    "no weights in the tuple": (attention(MASKED + "return weights @ value, None"), ["weights-recovered"]),
    "other order": (attention(MASKED + "return weights @ value, weights", "value, mask, query, key"), []),
    "keyword-only mask": (attention(MASKED + "return weights @ value, weights", "query, key, value, *, mask"), []),
    "any arguments": (
        attention("query, key, value, mask = args\n" + MASKED + "return weights @ value, weights", "*args"),
        ["positional"],
    ),
    "three dimensions": (
        attention("batch, length, width = query.shape\n" + MASKED + "return weights @ value, weights"),
        ["rank-3"],
    ),
    "two dimensions": (
        attention("length, width = query.shape\nassert mask.dim() == 2\n" + MASKED + "return weights @ value"),
        ["rank-2", "weights-recovered"],
    ),
    "additive": (
        attention(
            "scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)) + mask\n"
            "weights = scores.softmax(-1)\nreturn weights @ value, weights",
            before='ATTN_MASK = "additive"',
        ),
        [],
    ),
    "blocked": (
        attention(
            "weights = _weights(query, key, ~mask)\nreturn weights @ value, weights", before='ATTN_MASK = "blocked"'
        ),
        [],
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_however_it_is_written_it_equals_the_reference(case: str, student_of: StudentOf) -> None:
    source, adaptations = RIGHT[case]
    student = student_of(source)
    assert names_of(student) == adaptations
    assert_right(student, "basic", "narrow")


@pytest.mark.parametrize("declared", ["", 'ATTN_MASK = "none"'])
def test_one_that_masks_by_itself(declared: str, student_of: StudentOf) -> None:
    signature = "query, key, value, mask=None" if declared else "query, key, value"
    body = "assert 'mask' not in locals() or mask is None\n" + BY_ITSELF
    student = student_of(attention(body + "return _weights(query, key, keep) @ value", signature, declared))
    assert student.contract.mask_convention == "none"
    assert_right(student, "unpadded", "decode", "chunk")


def test_every_probe_but_the_ones_with_huge_scores(reference_student: FunctionAttention) -> None:
    assert_right(
        reference_student, "left-padding", "single", "one-token", "square", "long", "decode", "chunk", "bfloat16"
    )


def test_weights_are_recovered_also_when_there_are_more_keys_than_dimensions(student_of: StudentOf) -> None:
    student = student_of(attention(MASKED + "return weights @ value"))
    probe = probe_of("long")
    assert probe.key.shape[-2] > probe.key.shape[-1]
    record = student.run_probe(probe)
    _, weights = reference_attention(probe.query, probe.key, probe.value, probe.keep_mask)
    assert record.attn_weights is not None
    assert not record.weights_returned
    torch.testing.assert_close(record.attn_weights, weights)


def test_recovered_weights_are_those_of_the_same_dropout(student_of: StudentOf) -> None:
    source = attention(
        "weights = F.dropout(_weights(query, key, mask), dropout_p, training)\nreturn weights @ value",
        "query, key, value, mask, dropout_p=0.0, training=False",
    )
    probe = in_train_mode(probe_of("long"), 0.5)
    record = student_of(source).run_probe(probe)
    assert record.attn_weights is not None
    assert record.attn_output is not None
    assert float((record.attn_weights == 0).float().mean()) > 0.3
    torch.testing.assert_close(record.attn_weights @ probe.value, record.attn_output, atol=1e-4, rtol=1e-4)


def test_the_mask_arrives_in_the_declared_convention(student_of: StudentOf) -> None:
    expected = causal_keep_mask(10)
    for declared, dtype, allowed in (
        ("keep", torch.bool, True),
        ("blocked", torch.bool, False),
        ("additive", torch.float32, 0),
    ):
        # The mask itself is returned in place of the weights.
        body = "assert mask.shape == (3, 1, 10, 10)\nreturn query * 1, mask.expand(3, 4, 10, 10).double()"
        student = student_of(attention(body, before=f"ATTN_MASK = {declared!r}"))
        record = student.run_probe(probe_of("unpadded"))
        assert record.attn_weights is not None
        assert torch.equal(record.attn_weights[0, 0] == float(allowed), expected)
        if dtype == torch.float32:
            assert float(record.attn_weights.min()) == torch.finfo(torch.float32).min


def test_training_and_dropout_are_handed_over(student_of: StudentOf) -> None:
    source = attention("return query * (dropout_p + training)", "query, key, value, mask, dropout_p, training")
    student = student_of(source)
    probe = probe_of("unpadded")
    for changed, factor in ((probe, 0.0), (in_train_mode(probe, 0.25), 1.25)):
        output = student.run_probe(changed).attn_output
        assert output is not None
        assert torch.equal(output, probe.query * factor)


def test_a_probe_seeds_the_students_random_numbers(student_of: StudentOf) -> None:
    student = student_of(attention("return torch.rand_like(query), torch.rand(query.shape[:-1] + key.shape[-2:-1])"))
    probe = probe_of("unpadded")
    one, same, other = (student.run_probe(each).attn_output for each in (probe, probe, replace(probe, seed=5)))
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# --- what does not ----------------------------------------------------------------------------------------------------

WRONG_RESULTS = [
    ("pass", "the function returned None (is there a return statement on every path?)"),
    ("return 'attention'", "the function returned str: 'attention'"),
    ("return 7", "the function returned int: 7"),
    ("return ()", "the function returned an empty tuple"),
    ("return []", "the function returned an empty list"),
    ("return None, query", "the function returned a tuple of 2: none, tensor"),
    ("return 'a', 1, query", "the function returned a tuple of 3: str: 'a', int: 1, tensor"),
    ("return {'result': query, 3: key}", "the function returned a dict with the keys result, 3"),
    ("return query.long()", "attn_output is a tensor of torch.int64"),
    ("return query > 0", "attn_output is a tensor of torch.bool"),
    ("return query, (query @ key.mT).long()", "attn_weights is a tensor of torch.int64"),
    ("return query.to(torch.complex64)", "complex64"),
    ("return torch.empty(3, 4, 10, 64, device='meta')", "a meta tensor of shape (3, 4, 10, 64)"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_RESULTS, ids=[row[0] for row in WRONG_RESULTS])
def test_a_result_of_the_wrong_kind(body: str, message: str, student_of: StudentOf) -> None:
    with pytest.raises(SubmissionError) as caught:
        student_of(attention(body))
    assert caught.value.name == "malformed-reply"
    assert message in caught.value.message
    assert caught.value.remedy


WRONG_SHAPES = [
    ("return query[..., :1]", "attn_output has shape (3, 5, 10, 1) instead of (3, 5, 10, 48)"),
    ("return query.double()", "attn_output is torch.float64, the query torch.float32"),
    ("return query, query", "attn_weights has shape (3, 5, 10, 48) instead of (3, 5, 10, 10)"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_SHAPES, ids=[row[0] for row in WRONG_SHAPES])
def test_a_result_of_the_wrong_shape_or_dtype_cannot_go_into_a_model(
    body: str, message: str, student_of: StudentOf
) -> None:
    student = student_of(attention(body))
    probe = probe_of("unpadded")
    with pytest.raises(SubmissionError) as caught:
        student(probe.query, probe.key, probe.value, probe.keep_mask)
    assert (caught.value.name, caught.value.message) == ("malformed-reply", message)
    # A probe keeps what came: the checks of shape say it with the numbers.
    assert student.run_probe(probe).attn_output is not None


def test_the_failure_told_is_the_one_with_four_dimensions(student_of: StudentOf) -> None:
    with pytest.raises(SubmissionError) as caught:
        student_of(attention("raise ValueError(f'got {query.dim()} dimensions')"))
    assert (caught.value.name, caught.value.message) == ("raised", "ValueError: got 4 dimensions")
    assert caught.value.where is not None
    assert caught.value.where.startswith("submission")


def test_what_ends_the_worker_is_not_tried_again(workshop: Workshop) -> None:
    source = attention("open('calls.txt', 'a').write('x')\nimport os\nos._exit(3)")
    with pytest.raises(SubmissionError) as caught:
        workshop.attention(source)
    assert caught.value.name == "exited"
    assert (workshop.folder / "calls.txt").read_text() == "x"


def test_a_wrong_shape_at_every_rank_is_still_an_answer(student_of: StudentOf) -> None:
    student = student_of(attention("return torch.zeros(5)"))
    assert (student.rank, names_of(student)) == (4, [])


def test_an_attempt_never_raises(student_of: StudentOf) -> None:
    student = student_of(attention("assert query.size(-2) == 10, 'not ten'\nreturn query * 1"))
    record = student.run_probe(probe_of("narrow"))
    assert record.failure is not None
    assert (record.failure.name, record.failure.message) == ("raised", "AssertionError: not ten")
    assert record.attn_output is None


def test_nan_comes_through_to_be_judged(student_of: StudentOf) -> None:
    record = student_of(attention("return query * float('nan')")).run_probe(probe_of("unpadded"))
    assert record.attn_output is not None
    assert record.attn_output.isnan().all()
    assert max_abs_error(record.attn_output, probe_of("unpadded").query, probe_of("unpadded")) == float("inf")


# --- gradients --------------------------------------------------------------------------------------------------------


def test_no_gradient_and_a_gradient_of_zero_are_two_things(student_of: StudentOf) -> None:
    body = "weights = _weights(query.detach(), key * 0, mask)\nreturn weights @ value, weights"
    gradients = student_of(attention(body)).run_probe(probe_of("single")).gradients
    assert gradients["query"] is None
    assert gradients["key"] is not None
    assert not gradients["key"].any()
    assert gradients["value"] is not None
    assert gradients["value"].any()


def test_nothing_leads_back(student_of: StudentOf) -> None:
    body = "with torch.no_grad():\n    weights = _weights(query, key, mask)\n    return weights @ value, weights"
    record = student_of(attention(body)).run_probe(probe_of("single"))
    assert record.output_requires_grad is False
    assert record.gradients == dict.fromkeys(("query", "key", "value"))
    assert record.gradient_failure is None


def test_a_backward_that_fails_takes_nothing_from_the_forward(student_of: StudentOf) -> None:
    before = """
class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query):
        return query * 1
    @staticmethod
    def backward(ctx, upstream):
        raise RuntimeError("no way back")
"""
    record = student_of(attention("return Broken.apply(query)", before=before), name="attention").run_probe(
        probe_of("single")
    )
    assert record.failure is None
    assert record.attn_output is not None
    assert record.gradient_failure is not None
    assert record.gradient_failure.message == "RuntimeError: no way back"
    assert record.gradients == dict.fromkeys(("query", "key", "value"))


def test_a_call_is_differentiable_like_the_reference(reference_student: FunctionAttention) -> None:
    generator = torch.Generator().manual_seed(3)

    def leaf() -> Tensor:
        return torch.randn(1, 2, 5, 8, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = [leaf(), leaf(), leaf()]
    keep_mask = causal_keep_mask(5)[None, None]
    upstream = torch.randn(1, 2, 5, 8, generator=generator, dtype=torch.float64)
    result = reference_student(*inputs, keep_mask)
    assert isinstance(result, tuple)
    expected = reference_attention(*inputs, keep_mask)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(
        torch.autograd.grad(result[0], inputs, upstream), torch.autograd.grad(expected[0], inputs, upstream)
    )


def test_a_call_without_a_mask_keeps_everything(reference_student: FunctionAttention) -> None:
    probe = probe_of("narrow")
    result = reference_student(probe.query, probe.key, probe.value)
    torch.testing.assert_close(result, reference_attention(probe.query, probe.key, probe.value))


def test_a_call_of_one_that_keeps_its_weights(student_of: StudentOf) -> None:
    student = student_of(attention(MASKED + "return weights @ value"))
    probe = probe_of("narrow")
    result = student(probe.query, probe.key, probe.value, probe.keep_mask)
    assert isinstance(result, Tensor)


# --- what is done to the inputs ---------------------------------------------------------------------------------------

CHANGES = [
    ("query.mul_(2)", ["query"]),
    ("key += 1; value.zero_()", ["key", "value"]),
    ("mask.fill_(True)", ["mask"]),
    ("mask.logical_not_()", ["mask"]),
    ("mask.unsqueeze_(-1)", ["mask"]),
    ("mask.unsqueeze_(0)", ["mask"]),
    ("mask.resize_(0)", ["mask"]),
    ("value.unsqueeze_(0)", ["value"]),
    ("query = query * 2; mask = ~mask", []),
]


@pytest.mark.parametrize(("statement", "changed"), CHANGES, ids=[row[0] for row in CHANGES])
@pytest.mark.parametrize("convention", ["keep", "blocked"])
def test_inputs_that_were_changed(statement: str, changed: list[str], convention: str, student_of: StudentOf) -> None:
    source = attention(f"result = query * 1\n{statement}\nreturn result", before=f"ATTN_MASK = {convention!r}")
    assert put(student_of(source), "single").changed_inputs == changed


@pytest.mark.parametrize("dimensions", [3, 2])
def test_inputs_that_were_changed_head_by_head(dimensions: int, student_of: StudentOf) -> None:
    body = f"assert query.dim() == {dimensions}\nresult = query * 1\n"
    assert put(student_of(attention(body + "return result")), "basic").changed_inputs == []
    assert put(student_of(attention(body + "key.zero_()\nreturn result")), "basic").changed_inputs == ["key"]
    assert put(student_of(attention(body + "mask.zero_()\nreturn result")), "basic").changed_inputs == ["mask"]


def test_an_additive_mask_that_was_changed(student_of: StudentOf) -> None:
    source = attention("result = query * 1\nmask.mul_(0.5)\nreturn result", before='ATTN_MASK = "additive"')
    assert put(student_of(source), "single").changed_inputs == ["mask"]


# --- the whole fit ----------------------------------------------------------------------------------------------------


def test_fitting_the_reference_asks_for_nothing(workshop: Workshop) -> None:
    student = workshop.student(REFERENCE)
    fitted = fit_function(student, student.contract, seed=1)
    assert (fitted.rank, fitted.adaptations) == (4, ())


def test_library_calls_are_counted(student_of: StudentOf) -> None:
    student = student_of(attention("return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)"))
    before = sum(student.student.library_calls.values())
    probe = probe_of("unpadded")
    student(probe.query, probe.key, probe.value, probe.keep_mask)
    assert sum(student.student.library_calls.values()) == before + 1
    assert any("scaled_dot_product_attention" in name for name in student.student.library_calls)


TOKENS_FIRST = "return torch.einsum('bhts,bshd->bthd', torch.einsum('bthd,bshd->bhts', query, key).softmax(-1), value)"


@pytest.mark.parametrize(
    ("documentation", "is_tokens_first"),
    [
        ('"""query: [B, T, H, D]"""', True),
        ('"""As usual."""', False),
        ('"""(batch, heads, seq, head_dim) -> (batch, seq, heads, head_dim)"""', False),
        ("# query: (batch, seq, heads, head_dim)", False),
    ],
)
def test_tokens_come_before_heads_only_where_the_documentation_says_so(
    workshop: Workshop, documentation: str, is_tokens_first: bool
) -> None:
    student = workshop.student(attention(f"{documentation}\n{TOKENS_FIRST}", "query, key, value"))
    fitted = fit_function(student, student.contract, seed=0)
    assert ("head-layout" in {note.name for note in fitted.adaptations}) is is_tokens_first
    values = torch.arange(12.0).reshape(1, 3, 1, 4)
    output = fitted(values, values, values)
    assert isinstance(output, torch.Tensor)
    assert torch.equal(output, values) is is_tokens_first
