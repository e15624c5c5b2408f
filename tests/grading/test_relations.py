from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.checks import test_coherence as checks
from pytest_attn_grader.grading import relations
from pytest_attn_grader.grading.comparison import compare_on_prompt
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable
from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.model_utils import replace_attention_mechanism
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.models.types import LoadedModel
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE
from pytest_attn_grader.settings.settings import Settings

Compare = Callable[..., Comparison]
TOKENS = ("The", " cat", " sat")


@pytest.fixture(scope="module")
def compare(mini: LoadedModel) -> Compare:
    """`compare(attention, layer_idx=0)`: a comparison in the embedded model."""

    def make(attention: Callable[..., object], layer_idx: int = 0) -> Comparison:
        student_model = replace_attention_mechanism(mini.model, attention, layer_idx)
        return compare_on_prompt(mini, student_model, tokenize_prompt(PROMPT_EXAMPLE, mini), layer_idx=layer_idx)

    return make


def session(why_weights_unavailable: str | None = None) -> GradingSession:
    """What `coherence.layer` asks of a session: the prompt, and why the weights are unknown, if they are."""
    replaced = SimpleNamespace(why_weights_unavailable=lambda tokens: why_weights_unavailable)
    return cast(GradingSession, SimpleNamespace(patched=replaced, prompt=SimpleNamespace(tokens=TOKENS)))


def flat(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    return reference_attention(query / 8, key, value, keep_mask)


def heads_reversed(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    attn_output, attn_weights = reference_attention(query, key, value, keep_mask)
    return attn_output.flip(1), attn_weights.flip(1)


def one_hot(*keys: int) -> Tensor:
    return torch.eye(len(keys))[list(keys)][None]


def test_the_prompt_is_said_twice_within_the_context() -> None:
    ids = torch.arange(5)[None]
    assert relations.repeat_prompt(ids, 10).tolist() == [[0, 1, 2, 3, 4] * 2]
    assert relations.repeat_prompt(ids, 7).tolist() == [[0, 1, 2] * 2]


def test_scores_are_those_of_head_scores_and_nan_where_a_map_is_not_finite() -> None:
    ids = torch.tensor([5, 6, 5, 6])
    induction_head = torch.eye(4)[[0, 0, 1, 2]]  # the second 5 looks at 6, which followed the first 5
    broken = torch.full((4, 4), torch.nan)
    scores = relations.relation_scores(torch.stack([induction_head, broken]), ids)
    assert scores["induction"][0] == 1.0
    assert scores["duplicate-token"][0] == scores["first-token"][0] - 1 / 3 == 0.0
    assert scores["previous-token"][0] == 1.0
    assert all(math.isnan(float(values[1])) for values in scores.values())


def test_strongest_relations_and_ties() -> None:
    reference, student = one_hot(0, 0, 1), one_hot(0, 0, 2)
    moved = relations.find_strongest_links(student, reference, 0)
    assert [(each.query, each.reference_key, each.student_key) for each in moved] == [(1, 0, 0), (2, 1, 2)]
    even = torch.full((1, 3, 3), 0.3)
    assert all(each.student_key == each.reference_key for each in relations.find_strongest_links(even, reference, 0))


def test_head_order() -> None:
    reference = torch.stack([one_hot(0, 0, 0)[0], one_hot(0, 1, 2)[0], one_hot(0, 0, 1)[0]])
    found = relations.match_permuted_heads(reference[[1, 2, 0]], reference)
    assert found is not None
    assert (found.student_heads, found.permuted, found.distance) == ((2, 0, 1), True, 0.0)
    same = relations.match_permuted_heads(reference, reference)
    assert same is not None
    assert not same.permuted
    assert relations.match_permuted_heads(reference * torch.nan, reference) is None


def test_rows_of_nan_have_no_strongest_link() -> None:
    reference = one_hot(0, 0, 1)
    student = reference.clone()
    student[0, 1] = torch.nan
    found = relations.find_strongest_links(student, reference, 0)
    assert [link.query for link in found] == [2]
    assert relations.find_strongest_links(reference * torch.nan, reference, 0) == ()


def test_the_reference_keeps_everything(compare: Compare) -> None:
    compared = compare(reference_attention)
    found = compared.coherence
    assert found is not None
    assert found.relations_encoded >= 1, "the embedded model is trained to have such heads"
    assert found.relations_kept == found.relations_encoded
    assert found.verdict.startswith(f"Keeps {found.relations_encoded} relation")
    assert found.verdict.endswith("Every token looks most where it should.")
    assert len(compared.residual_drift) == 4
    assert max(map(float, compared.residual_drift)) < 1e-5
    for head in compared.heads:
        assert head.student_distance == pytest.approx(head.reference_distance, abs=1e-5)


def test_a_wrong_one_loses_relations_and_the_residual_stream_drifts(compare: Compare) -> None:
    compared = compare(flat, layer_idx=1)
    found = compared.coherence
    assert found is not None
    assert found.relations_kept < found.relations_encoded
    assert f"Loses {found.relations_encoded - found.relations_kept} of {found.relations_encoded}" in found.verdict
    before, graded, after, last = map(float, compared.residual_drift)
    assert before == graded == 0.0
    assert min(after, last) > 0.01


def test_permuted_heads_are_found(compare: Compare) -> None:
    matching = compare(heads_reversed).head_matching
    assert matching is not None
    assert matching.permuted
    assert matching.student_heads == (3, 2, 1, 0)


@pytest.mark.parametrize(
    ("tokens", "moved"),
    [
        (TOKENS, "sat -> cat became sat -> sat"),
        (("The", " sat", " sat"), "sat (token 2) -> sat (token 1) became sat (token 2) -> sat (token 2)"),
        (("The", "\n", " sat"), r"sat -> '\n' became sat -> sat"),
    ],
)
def test_the_verdict_names_a_moved_link(tokens: tuple[str, ...], moved: str) -> None:
    reference, student = one_hot(0, 0, 1), one_hot(0, 0, 2)
    found = relations.compare_relations(
        torch.stack([student]),
        torch.stack([reference]),
        torch.tensor([1, 2, 3]),
        prompt_maps=(student, reference),
        tokens=tokens,
        layer_idx=0,
    )
    assert "previous-token in head 0 (1.00 becomes 0.50)" in found.verdict
    assert f"1 of 2 strongest links moved: in head 0, {moved}." in found.verdict


def test_checks_pass_the_reference_and_fail_a_wrong_one(compare: Compare) -> None:
    settings, right, wrong = Settings(student="x"), compare(reference_attention), compare(flat)
    checks.test_layer(session(), right, settings, evidence := Evidence())
    assert evidence.numbers["verdict"]
    checks.test_later_layers(right, settings, Evidence())
    with pytest.raises(CheckFailed, match="on the prompt said twice"):
        checks.test_layer(session(), wrong, settings, Evidence())
    with pytest.raises(CheckFailed, match="on the prompt said twice"):
        checks.test_later_layers(wrong, settings, Evidence())


def test_weights_that_cannot_be_known_are_not_judged(compare: Compare) -> None:
    with pytest.raises(NotApplicable, match="the module returns no weights"):
        checks.test_layer(session("the module returns no weights"), compare(flat), Settings(student="x"), Evidence())


def test_no_later_layers_cost_nothing(compare: Compare) -> None:
    with pytest.raises(NotApplicable):
        checks.test_later_layers(compare(flat, layer_idx=2), Settings(student="x"), Evidence())


def test_an_answer_that_is_no_number_fails(compare: Compare) -> None:
    right = compare(reference_attention)
    assert right.coherence is not None
    scores = tuple(score.model_copy(update={"student": "nan"}) for score in right.coherence.scores)
    broken = right.model_copy(update={"coherence": right.coherence.model_copy(update={"scores": scores})})
    with pytest.raises(CheckFailed):
        checks.test_layer(session(), broken, Settings(student="x"), Evidence())
