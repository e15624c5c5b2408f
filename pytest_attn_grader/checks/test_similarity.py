"""Checks of the pattern's similarity to the reference on the prompt: how far and where it differs, not correctness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.results.comparison import Comparison
    from pytest_attn_grader.settings.settings import Settings

# metric, whether larger is better, what it means
METRICS = [
    pytest.param("cosine", True, "the angle between both patterns (1 is the same direction)", id="cosine"),
    pytest.param("jensen_shannon", False, "how far apart both distributions are (0 to 0.69 nats)", id="jensen_shannon"),
    pytest.param("earth_movers", False, "how many positions the weight would have to travel", id="earth_movers"),
    pytest.param("argmax_agreement", True, "how often both look at the same token most", id="argmax_agreement"),
    pytest.param(
        "entropy_difference", False, "too peaked (below 0) or too flat (above 0), in nats", id="entropy_difference"
    ),
]


@pytest.mark.parametrize(("metric", "larger_is_better", "meaning"), METRICS)
@pytest.mark.attn_check(
    id="similarity",
    title="the pattern on the prompt is the reference's: {metric}",
    needs=("contract.call", "shape[basic]", "weights.finite", "weights.non-negative", "weights.rows-sum-to-one"),
)
def test_similarity(
    attn_session: GradingSession,
    attn_comparison: Comparison,
    attn_settings: Settings,
    attn_evidence: Evidence,
    metric: str,
    larger_is_better: bool,
    meaning: str,
) -> None:
    unknown = attn_session.patched.why_weights_unavailable(len(attn_session.prompt.tokens))
    if unknown is not None:
        attn_evidence.not_applicable(unknown)
    heads = attn_comparison.heads if attn_settings.all_layers else attn_comparison.heads_of_layer
    values = {(head.layer, head.head): getattr(head, metric) for head in heads}
    numbers = {place: float(value) for place, value in values.items()}
    threshold = attn_settings.thresholds[metric]

    def distance(place: tuple[int, int]) -> float:
        number = numbers[place]
        return math.inf if math.isnan(number) else -number if larger_is_better else abs(number)

    worst_place = max(numbers, key=distance)
    worst = numbers[worst_place]
    attn_evidence.record(
        worst=worst, mean=sum(numbers.values()) / len(numbers), threshold=threshold, head=worst_place[1]
    )
    good = worst >= threshold if larger_is_better else abs(worst) <= threshold
    attn_evidence.check(
        good,
        expected=f"{metric.replace('_', ' ')} {'at least' if larger_is_better else 'at most'} {threshold:g}: {meaning}",
        actual=f"{format_number(worst, '.4g')} in layer {worst_place[0]}, head {worst_place[1]}",
        hint="the checks of equivalence and masking: they name the cause, this one shows the size",
    )
