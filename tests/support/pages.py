"""A report with everything on it, made without a run: what the page and the pictures show."""

from __future__ import annotations

from typing import Any

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.results.comparison import (
    AttentionMap,
    Coherence,
    Comparison,
    Continuation,
    HeadComparison,
    HeldOutComparison,
    LengthTiming,
    NextToken,
    Predictions,
    RelationScore,
    Speed,
    Timing,
)
from pytest_attn_grader.results.report import Diagnosis, GradeReport, ModelInfo, PromptInfo
from pytest_attn_grader.results.submission import StudentInfo
from tests.support.reports import check, report_of

TOKENS = ("The", " cat", " sat")
NAN = float("nan")


def causal(*rows: float) -> list[list[float]]:
    """A map of three tokens: the weights of the rows below the diagonal and on it."""
    one, two, three, four, five, six = rows
    return [[one, 0.0, 0.0], [two, three, 0.0], [four, five, six]]


RIGHT = causal(1.0, 0.25, 0.75, 0.1, 0.2, 0.7)
WRONG = causal(1.0, 0.9, 0.1, 0.6, 0.2, 0.2)


def next_tokens(*tokens: str) -> tuple[NextToken, ...]:
    return tuple(NextToken(token=token, id=place, probability=0.5 / 2**place) for place, token in enumerate(tokens))


def comparison(student: Any = WRONG, *, layers: int = 2, heads: int = 2, **changes: Any) -> Comparison:
    """Two layers of two heads; the student differs in head 1 of layer 0 and in nothing else."""
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    fields: dict[str, Any] = {
        "layer_idx": 0,
        "heads": tuple(
            HeadComparison(
                layer=layer,
                head=head,
                cosine=0.9,
                jensen_shannon=0.1,
                earth_movers=0.2,
                total_variation=0.65 if (layer, head) == (0, 1) else 0.0,
                argmax_agreement=0.5,
                entropy_difference=0.1,
            )
            for layer, head in places
        ),
        "maps": tuple(
            AttentionMap(layer=layer, head=head, reference=RIGHT, student=student if (layer, head) == (0, 1) else RIGHT)
            for layer, head in places
        ),
        "row_sum_error": 0.0,
        "predictions": Predictions(
            reference=next_tokens(" on", " down"),
            student=next_tokens(" mat", " on"),
            kl_divergence=0.5,
            top_k_agreement=0.5,
            reference_loss=2.5,
            student_loss=3.75,
        ),
        "reference_seconds": 0.1,
        "student_seconds": 0.2,
        "coherence": Coherence(
            scores=(RelationScore(layer=0, head=1, relation="induction", reference=0.8, student=0.1),),
            strongest_links=(),
            relations_encoded=1,
            relations_kept=0,
            verdict="Loses 1 of 1 relation that this layer's heads encode.",
        ),
        "residual_drift": (0.0, 0.4, 0.6),
        "held_out": (
            HeldOutComparison(
                text="She had the flour",
                tokens=4,
                cosine=0.9,
                jensen_shannon=0.1,
                earth_movers=0.2,
                total_variation=0.125,
                argmax_agreement=0.5,
                entropy_difference=0.1,
                row_sum_error=0.0,
                worst_head=1,
                worst_total_variation=0.25,
                kl_divergence=0.1,
                next_token_agreement=0.75,
            ),
        ),
        "continuations": (
            Continuation(cached=False, reference=" on the mat", student=" mat mat mat"),
            Continuation(cached=True, reference=" on the mat", student="", failure="it raised IndexError"),
        ),
    }
    return Comparison(**fields | changes)


SPEED = Speed(
    shape="batch 1, 2 heads, head_dim 64",
    lengths=(
        LengthTiming(
            tokens=64,
            student=Timing(median=0.0002, low=0.00015, high=0.0003, repeats=15),
            reference=Timing(median=0.0001, low=0.0001, high=0.0001, repeats=1),
            transport=0.0004,
        ),
    ),
)


def shown_report(compared: Comparison | None = None, **more: Any) -> GradeReport:
    """A failing report with a diagnosis, a failed check and a comparison."""
    facts = RunData(
        student=StudentInfo(target=more.pop("target", "examples.student.wrong_scale"), name="attention"),
        model=ModelInfo(requested="mini", used="mini", num_layers=2, num_heads=2, head_dim=64, layer_idx=0),
        prompt=PromptInfo(text="The cat sat", ids=(1, 2, 3), tokens=more.pop("tokens", TOKENS)),
        comparison=comparison() if compared is None else compared,
        speed=SPEED,
        diagnosis=more.pop(
            "diagnosis",
            Diagnosis(
                slugs=("scale-dk",),
                titles=("divides the scores by head_dim",),
                message="Your attention equals one that divides by head_dim.",
                hint="Think of the square root.",
            ),
        ),
    )
    words = more.pop("words", "weights off by 0.5")
    failing = check(
        "failed",
        "equivalence",
        title="equals the reference",
        expected="softmax of scaled scores",
        actual=words,
        hint="the scale",
        message=words,
        evidence={"weights error": 0.5, "note": words},
    )
    return report_of(check(), failing, facts=facts, **more)
