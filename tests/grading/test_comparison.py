from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading import map_selection
from pytest_attn_grader.grading.comparison import (
    METRICS,
    TOP_K,
    compare_heads,
    compare_on_prompt,
)
from pytest_attn_grader.grading.held_out_text import MAX_HELD_OUT_TEXTS, evaluate_passage, held_out_passages, mean_loss
from pytest_attn_grader.model_utils import replace_attention_mechanism
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.models.types import LoadedModel
from pytest_attn_grader.results.comparison import Comparison, HeadComparison
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE

LAYER = 1
Compare = Callable[..., Comparison]


@pytest.fixture(scope="module")
def compare(mini: LoadedModel) -> Compare:
    """Put a local attention function into the second layer and compare; no worker is needed for that."""

    def run(attention: Callable[..., object], prompt: str = PROMPT_EXAMPLE) -> Comparison:
        student_model = replace_attention_mechanism(mini.model, attention, LAYER)
        return compare_on_prompt(mini, student_model, tokenize_prompt(prompt, mini), layer_idx=LAYER)

    return run


def right(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    return reference_attention(query, key, value, keep_mask)


def uniform(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    return reference_attention(query * 0, key, value, keep_mask)


def nowhere(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    _, weights = reference_attention(query, key, value, keep_mask)
    return value * float("nan"), weights * float("nan")


@pytest.fixture(scope="module")
def with_right(compare: Compare) -> Comparison:
    return compare(right)


@pytest.fixture(scope="module")
def with_uniform(compare: Compare) -> Comparison:
    return compare(uniform)


@pytest.fixture(scope="module")
def attentions(mini: LoadedModel) -> Tensor:
    """The model's own maps, asked of transformers itself: (num_layers, num_heads, tokens, tokens)."""
    ids = tokenize_prompt(PROMPT_EXAMPLE, mini).input_ids
    with torch.no_grad():
        return torch.stack(mini.model(ids, output_attentions=True).attentions)[:, 0]


def test_a_right_attention_is_like_the_models_own(with_right: Comparison) -> None:
    for head in with_right.heads:
        assert head.cosine == pytest.approx(1.0, abs=1e-6)
        assert head.jensen_shannon == pytest.approx(0.0, abs=1e-6)
        assert head.earth_movers == pytest.approx(0.0, abs=1e-4)
        assert head.argmax_agreement == 1.0
    predictions = with_right.predictions
    assert predictions.kl_divergence == pytest.approx(0.0, abs=1e-6)
    assert predictions.top_k_agreement == 1.0
    assert [token.id for token in predictions.student] == [token.id for token in predictions.reference]
    assert predictions.student_loss == pytest.approx(predictions.reference_loss, abs=1e-4)
    assert with_right.row_sum_error == pytest.approx(0.0, abs=1e-6)
    assert with_right.reference_seconds > 0  # type: ignore[operator]
    assert with_right.student_seconds > 0  # type: ignore[operator]


def test_every_head_of_every_layer_in_order(with_right: Comparison, mini: LoadedModel) -> None:
    config = mini.model.config
    places = [(layer, head) for layer in range(config.num_hidden_layers) for head in range(config.num_attention_heads)]
    assert [(head.layer, head.head) for head in with_right.heads] == places
    assert [(each.layer, each.head) for each in with_right.maps] == places
    assert {head.layer for head in with_right.heads_of_layer} == {LAYER}


def test_maps_are_the_models_own(with_uniform: Comparison, attentions: Tensor) -> None:
    tokens = attentions.shape[-1]
    rows = [[1 / (row + 1) if key <= row else 0.0 for key in range(tokens)] for row in range(tokens)]
    for each in with_uniform.maps:
        torch.testing.assert_close(torch.tensor(each.reference), attentions[each.layer, each.head])
        if each.layer == LAYER:
            torch.testing.assert_close(torch.tensor(each.student), torch.tensor(rows))
        elif each.layer < LAYER:
            assert each.student == each.reference


def test_figures_of_a_wrong_attention_worked_out_once_more(with_uniform: Comparison, attentions: Tensor) -> None:
    tokens = attentions.shape[-1]
    positions = list(range(tokens))
    for head in with_uniform.heads_of_layer:
        own = attentions[LAYER, head.head].double()
        flat = torch.tril(torch.ones(tokens, tokens, dtype=torch.float64))
        flat /= flat.sum(-1, keepdim=True)
        rows = list(zip(flat.tolist(), own.tolist(), strict=True))
        moved = [wasserstein_distance(positions, positions, one, other) for one, other in rows]
        assert head.earth_movers == pytest.approx(sum(moved) / tokens, rel=1e-4, abs=1e-6)
        halves = [sum(abs(left - right) for left, right in zip(*pair, strict=True)) / 2 for pair in rows]
        assert head.total_variation == pytest.approx(sum(halves) / tokens, rel=1e-4, abs=1e-6)
        cosines = [
            sum(left * right for left, right in zip(*pair, strict=True))
            / math.dist(pair[0], [0] * tokens)
            / math.dist(pair[1], [0] * tokens)
            for pair in rows
        ]
        assert head.cosine == pytest.approx(sum(cosines) / tokens, rel=1e-4)


def test_next_tokens_are_the_models_own(with_right: Comparison, mini: LoadedModel) -> None:
    ids = tokenize_prompt(PROMPT_EXAMPLE, mini).input_ids
    with torch.no_grad():
        probabilities = mini.model(ids).logits[0, -1].double().softmax(-1)
    shown = with_right.predictions.reference
    assert len(shown) == TOP_K
    for token in shown:
        assert token.probability == pytest.approx(float(probabilities[token.id]), rel=1e-4)
        assert token.token == mini.tokenizer.decode([token.id])
    cut = float(probabilities.sort(descending=True).values[TOP_K - 1])
    assert all(token.probability >= cut * 0.999 for token in shown)  # type: ignore[operator]


def test_what_a_wrong_attention_does_to_the_predictions(with_uniform: Comparison) -> None:
    assert with_uniform.predictions.kl_divergence > 0  # type: ignore[operator]
    assert with_uniform.predictions.student_loss != with_uniform.predictions.reference_loss


def test_a_student_of_nan_gives_figures_of_nan(compare: Compare) -> None:
    made = compare(nowhere)
    assert all(head.cosine == head.earth_movers == "nan" for head in made.heads if head.layer >= LAYER)
    assert all(isinstance(head.cosine, float) for head in made.heads if head.layer < LAYER)
    assert made.row_sum_error == "inf"
    assert made.predictions.kl_divergence == made.predictions.student_loss == "nan"
    assert made.predictions.top_k_agreement == 0.0
    assert isinstance(made.predictions.reference_loss, float)
    assert all(token.probability == "nan" for token in made.predictions.student)
    assert Comparison.model_validate_json(made.model_dump_json()) == made


def test_what_a_long_prompt_leaves_out_is_said(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_selection, "MAX_WEIGHTS", 300)
    made = compare(right)
    assert {each.layer for each in made.maps} == {LAYER}
    assert len({head.layer for head in made.heads}) > 1
    assert f"layers {LAYER} only" in made.left_out


def test_a_student_that_fails_in_the_model(compare: Compare) -> None:
    def fails(*_: Tensor) -> Tensor:
        raise SubmissionError("timeout", "It took longer than 10 s.")

    with pytest.raises(SubmissionError, match=r"It took longer than 10 s\."):
        compare(fails)


# --- one layer --------------------------------------------------------------------------------------------------------


def maps(seed: int, num_heads: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_heads, 5, 5, generator=generator, dtype=torch.float64).softmax(-1)


def test_heads_are_judged_one_by_one() -> None:
    student, reference = maps(1), maps(2)
    student[1, 2, 3] = float("nan")
    compared = compare_heads(student, reference, 7)
    assert [(head.layer, head.head) for head in compared] == [(7, 0), (7, 1), (7, 2)]
    assert set(figures(compared[1])) == {"nan"}
    for head in (0, 2):
        alone = compare_heads(student[head : head + 1], reference[head : head + 1], 7)[0]
        assert figures(compared[head]) == pytest.approx(figures(alone))
        expected = [float(metric(student[head : head + 1], reference[head : head + 1])) for metric in METRICS.values()]
        assert figures(compared[head]) == pytest.approx(expected)


def figures(head: HeadComparison) -> list[object]:
    return [getattr(head, name) for name in METRICS]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1])
def test_rows_that_are_no_distribution_have_no_figures(bad: float) -> None:
    student = maps(1, 1)
    student[0, 0, 0] = bad
    assert set(figures(compare_heads(student, maps(2, 1), 0)[0])) == {"nan"}


def test_a_row_of_zeros_has_no_figures() -> None:
    student = maps(1, 1)
    student[0, 4] = 0
    assert set(figures(compare_heads(student, maps(2, 1), 0)[0])) == {"nan"}


def test_rows_are_normalised_first() -> None:
    student, reference = maps(1, 1), maps(2, 1)
    assert figures(compare_heads(student * 3, reference, 0)[0]) == pytest.approx(
        figures(compare_heads(student, reference, 0)[0])
    )


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.5])
def test_rows_that_do_not_sum_to_one_are_said_to_be_so(factor: float) -> None:
    compared = compare_heads(maps(1) * factor, maps(2), 0)
    for head in compared:
        assert head.row_sum_error == pytest.approx(abs(factor - 1), abs=1e-9)
    broken = maps(1)
    broken[1, 2, 3] = float("nan")
    assert [head.row_sum_error == "inf" for head in compare_heads(broken, maps(2), 0)] == [False, True, False]


# --- further texts ----------------------------------------------------------------------------------------------------


def test_further_texts_are_compared_too(with_right: Comparison, with_uniform: Comparison, mini: LoadedModel) -> None:
    passages = held_out_passages(mini)[:MAX_HELD_OUT_TEXTS]
    for right, wrong, ids in zip(with_right.held_out, with_uniform.held_out, passages, strict=True):
        assert right.tokens == wrong.tokens == ids.shape[-1]
        assert mini.tokenizer.decode(ids[0]).startswith(right.text.removesuffix(" …"))
        assert right.total_variation == pytest.approx(0.0, abs=1e-5)
        assert right.next_token_agreement == pytest.approx(1.0)
        assert wrong.total_variation > 0.05  # type: ignore[operator]
        assert wrong.total_variation <= wrong.worst_total_variation  # type: ignore[operator]
        assert wrong.kl_divergence > right.kl_divergence  # type: ignore[operator]


def test_a_further_text_worked_out_once_more(with_uniform: Comparison, mini: LoadedModel) -> None:
    ids = held_out_passages(mini)[0]
    with torch.no_grad():
        own = mini.model(ids, output_attentions=True).attentions[LAYER][0].double()
    tokens = own.shape[-1]
    flat = torch.tril(torch.ones(tokens, tokens, dtype=torch.float64))
    flat /= flat.sum(-1, keepdim=True)
    by_head = [float((flat - head).abs().sum() / 2 / tokens) for head in own]
    assert with_uniform.held_out[0].total_variation == pytest.approx(sum(by_head) / len(by_head), rel=1e-4)
    assert with_uniform.held_out[0].worst_head == by_head.index(max(by_head))


def test_further_texts_of_a_student_of_nan(compare: Compare) -> None:
    held_out = compare(nowhere).held_out
    assert all((each.cosine, each.row_sum_error, each.next_token_agreement) == ("nan", "inf", 0.0) for each in held_out)


# --- loss -------------------------------------------------------------------------------------------------------------


def test_mean_loss_counts_every_token_once(mini: LoadedModel) -> None:
    passages = held_out_passages(mini)[:3]
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in passages:
            predicted = mini.model(ids).logits[0].double().log_softmax(-1)
            for place in range(ids.shape[1] - 1):
                total -= float(predicted[place, ids[0, place + 1]])
                count += 1
    assert mean_loss([evaluate_passage(mini.model, ids) for ids in passages]) == pytest.approx(total / count, rel=1e-5)
