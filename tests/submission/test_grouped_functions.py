"""Functions whose keys and values have fewer heads than queries: an argument says so, and they get them ungrouped."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.trials import is_right_on
from tests.support.students import REFERENCE, Workshop

FUNCTION = """
import torch

def attention(SIGNATURE):
    SHARED
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v
"""
BY_SIZE = "k, v = (z.repeat_interleave({}, dim=1) for z in (k, v))"
STYLES = {
    "enable_gqa": (
        "q, k, v, mask=None, *, enable_gqa=False",
        "if enable_gqa:\n        k, v = (z.repeat_interleave(q.shape[1] // z.shape[1], 1) for z in (k, v))",
    ),
    "n_rep": ("q, k, v, mask, n_rep", BY_SIZE.format("n_rep")),
    "n_rep with a default": ("q, k, v, mask=None, n_rep=1", BY_SIZE.format("n_rep")),
    "num_kv_heads": ("q, k, v, num_kv_heads, mask=None", BY_SIZE.format("q.shape[1] // num_kv_heads")),
    "heads and key/value heads": (
        "q, k, v, n_heads: int, n_kv_heads: int, mask=None",
        BY_SIZE.format("n_heads // n_kv_heads"),
    ),
    "num_key_value_groups": ("q, k, v, mask=None, num_key_value_groups=1", BY_SIZE.format("num_key_value_groups")),
    "num_kv_groups, a number of groups": (
        "q, k, v, mask=None, num_kv_groups=None",
        BY_SIZE.format("q.shape[1] // num_kv_groups"),
    ),
    "num_kv_groups, a size": ("q, k, v, mask=None, num_kv_groups=1", BY_SIZE.format("num_kv_groups")),
    "expanded": (
        "q, k, v, mask=None, use_gqa: bool = False",
        "k, v = (z[:, :, None].expand(-1, -1, q.shape[1] // z.shape[1], -1, -1).flatten(1, 2) for z in (k, v))",
    ),
    "an attribute of its layer": ("q, k, v, module, mask=None", BY_SIZE.format("module.num_key_value_groups")),
    "queries in groups": (
        "q, k, v, mask=None, num_key_value_heads=8",
        "heads = q.shape[1]; q = q.unflatten(1, (num_key_value_heads, -1))\n"
        "    k, v, mask = k[:, :, None], v[:, :, None], mask[:, :, None]\n"
        "    return ((q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf).softmax(-1) @ v).flatten(1, 2)",
    ),
}


def source_of(signature: str, shared: str) -> str:
    return FUNCTION.replace("SIGNATURE", signature).replace("SHARED", shared)


@pytest.mark.parametrize("style", STYLES)
def test_keys_and_values_come_ungrouped(workshop: Workshop, style: str) -> None:
    student = workshop.student(source_of(*STYLES[style]))
    attention = fit(student, student.contract, seed=0)

    assert attention.takes_groups
    for name in ("groups", "multi-query", "basic", "single", "long", "decode"):
        probe = build_probe(SPEC_BY_NAME[name], seed=1)
        assert attention.unsupported_reason(probe) is None
        assert is_right_on(attention, probe), name
    note = next(note.why for note in attention.adaptations if note.name == "groups")
    assert note.endswith("keys and values are passed with as many heads as the model has of them")


def test_it_is_called_with_them_inside_a_model(workshop: Workshop) -> None:
    student = workshop.student(source_of(*STYLES["n_rep"]))
    attention = fit(student, student.contract, seed=0)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 16, generator=generator) for heads in (6, 2, 2))
    output = attention(query, key, value)

    assert isinstance(output, torch.Tensor)
    expected, _ = reference_attention(query, *(each.repeat_interleave(3, dim=1) for each in (key, value)))
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


def test_the_meaning_of_a_number_of_groups_is_said(workshop: Workshop) -> None:
    student = workshop.student(source_of(*STYLES["num_kv_groups, a size"]))
    notes = {note.name: note.why for note in fit(student, student.contract, seed=0).adaptations}

    assert notes["group-size"] == "num_kv_groups is passed as the number of query heads for each of them"


def test_tiled_groups_are_wrong_and_the_inputs_are_left_alone(workshop: Workshop) -> None:
    probe = build_probe(SPEC_BY_NAME["groups"], seed=1)
    student = workshop.student(
        source_of("q, k, v, mask=None, n_rep=1", "k, v = (z.repeat(1, n_rep, 1, 1) for z in (k, v))")
    )
    attention = fit(student, student.contract, seed=0)

    assert not is_right_on(attention, probe)
    after = attention.run_probe(probe).inputs_after
    assert all(torch.equal(after[name], probe.inputs[name]) for name in ("key", "value"))


def test_without_such_an_argument_every_query_head_has_its_key(workshop: Workshop) -> None:
    student = workshop.student(REFERENCE)
    attention = fit(student, student.contract, seed=0)

    assert not attention.takes_groups
    assert attention.unsupported_reason(build_probe(SPEC_BY_NAME["groups"], seed=1)) is not None


@pytest.mark.parametrize(
    ("shared", "words"),
    [
        ("k = module.k_proj(k)", "the grader's stand-in for the layer has no 'k_proj'"),
        ("k = module.dropout(k) + module.layer_idx + module.config.attention_dropout", None),
    ],
)
def test_a_layer_has_numbers_and_dropout_and_says_what_it_lacks(
    workshop: Workshop, shared: str, words: str | None
) -> None:
    student = workshop.student(source_of("module, q, k, v, mask", shared))
    if words is None:
        assert is_right_on(fit(student, student.contract, seed=0), build_probe(SPEC_BY_NAME["basic"], seed=1))
        return
    with pytest.raises(SubmissionError, match=words):
        fit(student, student.contract, seed=0)


def test_only_a_function_that_takes_its_layer_may_return_the_tokens_first(workshop: Workshop) -> None:
    turned = "return (scores.softmax(-1) @ v).transpose(1, 2)"
    for signature, is_right in (("module, q, k, v, mask", True), ("q, k, v, mask", False)):
        source = source_of(signature, "").replace("return scores.softmax(-1) @ v", turned)
        student = workshop.student(source)
        attention = fit(student, student.contract, seed=0)
        assert is_right_on(attention, build_probe(SPEC_BY_NAME["basic"], seed=1)) is is_right
        assert ("output-layout" in {note.name for note in attention.adaptations}) is is_right
