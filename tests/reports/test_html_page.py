from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from pytest_attn_grader.attention.validation import ROW_SUM_TOLERANCE
from pytest_attn_grader.reports import html_page as page_module
from pytest_attn_grader.reports.html_page import MAX_TOKENS, render_page, write_page
from pytest_attn_grader.results.comparison import AttentionMap, Continuation, HeadMatching
from pytest_attn_grader.results.report import Diagnosis, GradeReport
from tests.support.pages import NAN, comparison, shown_report
from tests.support.reports import check, report_of

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def text_of(page: str) -> str:
    """What a reader sees, roughly."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def embedded_of(page: str) -> dict[str, object]:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_the_graded_place_is_a_sentence() -> None:
    assert "<code>attention</code> in layer 0 of mini\n" in render_page(shown_report())


def test_says_what_is_wrong_and_why() -> None:
    text = text_of(render_page(shown_report()))
    assert "Not yet" in text
    assert "Your attention divides the scores by head_dim." in text
    assert "Hint. Think of the square root. More about it: attn-grader explain scale-dk" in text
    assert "Expected softmax of scaled scores Actual weights off by 0.5 Hint the scale" in text
    assert "2.5 → 3.75 nats per token" in text
    assert "The cat sat mat mat mat" in text
    assert "it raised IndexError" in text
    assert "Loses 1 of 1 relation" in text
    assert "head 1 induction 0.8 0.1 no" in text


def test_without_a_diagnosis_the_first_failure_leads() -> None:
    text = text_of(render_page(shown_report(diagnosis=None)))
    assert "The first failure weights off by 0.5 Expected softmax of scaled scores Check equals the" in text


def test_a_nudge_does_not_name_the_mistake_nor_deny_it() -> None:
    nudge = Diagnosis(slugs=(), titles=(), message="It is about the scale.", hint="What does a sum of 64 numbers do?")
    text = text_of(render_page(shown_report(diagnosis=nudge)))
    assert "Where to look It is about the scale. Hint. What does" in text
    assert "No known mistake" not in text
    unknown = nudge.model_copy(update={"hint": ""})
    assert "No known mistake explains it" in text_of(render_page(shown_report(diagnosis=unknown)))


def test_without_hints_the_report_has_none_and_the_page_neither() -> None:
    report = shown_report(diagnosis=None)
    checks = tuple(each.model_copy(update={"hint": ""}) for each in report.checks)
    text = text_of(render_page(report.model_copy(update={"checks": checks})))
    assert "Hint" not in text
    assert "Actual weights off by 0.5" in text


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (report_of(), "Passed"),
        (report_of(reason="there is no model"), "Why there is no verdict there is no model"),
    ],
)
def test_every_verdict_has_a_page(report: GradeReport, words: str) -> None:
    assert words in text_of(render_page(report))


def test_maps_travel_as_thousandths_and_start_at_what_differs_most() -> None:
    embedded = embedded_of(render_page(shown_report()))
    assert (embedded["layer"], embedded["head"], embedded["query"]) == (0, 1, 1)
    assert embedded["maps"][1]["reference"][1] == [250, 750, 0]
    assert embedded["tokens"] == ["The", "cat", "sat"]


def test_rows_that_do_not_sum_to_one_have_a_note() -> None:
    made = comparison()
    heads = tuple(
        head.model_copy(update={"row_sum_error": error, "total_variation": "nan" if error == "inf" else 0.5})
        for head, error in zip(made.heads, (0.0, 0.75, "inf", None), strict=True)
    )
    metrics = embedded_of(render_page(shown_report(made.model_copy(update={"heads": heads}))))["metrics"]
    assert [metrics[place]["note"] for place in ("0.0", "1.1")] == ["", ""]
    assert "off by up to 0.75" in metrics["0.1"]["note"]
    assert "does not exist" in metrics["1.0"]["note"]
    assert metrics["0.0"]["values"][0] == ["cosine similarity", "0.9"]
    assert ROW_SUM_TOLERANCE == page_module.ROW_SUM_TOLERANCE


def test_speed_and_further_texts_are_shown() -> None:
    text = text_of(render_page(shown_report()))
    assert "Speed 2 times the reference's time on 64 tokens" in text
    assert "64 0.20 (0.15 to 0.30) 0.10 (once)" in text
    assert "She had the flour 12.5% 50.0% 75.0%" in text


def test_heads_in_another_order_are_named() -> None:
    order = HeadMatching(student_heads=(1, 0), distance=0.0, distance_in_order=0.5, permuted=True)
    text = text_of(render_page(shown_report(comparison(head_matching=order))))
    assert "reference's heads 0 to 1 are your heads 1, 0" in text


def test_a_number_that_does_not_exist_is_a_dash_with_a_reason() -> None:
    broken = [[NAN, 0.0, 0.0], [float("inf"), 1.0, 0.0], [0.0, 0.0, 1.0]]
    made = comparison(broken, residual_drift=(0.0, NAN))
    undefined = dict.fromkeys(("kl_divergence", "student_loss"), NAN)
    tokens = tuple(each.model_copy(update={"probability": "nan"}) for each in made.predictions.student)
    metrics = dict.fromkeys(("cosine", "jensen_shannon", "earth_movers", "total_variation", "argmax_agreement"), "nan")
    assert made.coherence is not None
    scores = tuple(score.model_copy(update={"student": "nan"}) for score in made.coherence.scores)
    made = made.model_copy(
        update={
            "predictions": made.predictions.model_copy(update={**undefined, "student": tokens}),
            "heads": tuple(head.model_copy(update={**metrics, "entropy_difference": "nan"}) for head in made.heads),
            "held_out": tuple(text.model_copy(update={**metrics, "kl_divergence": "nan"}) for text in made.held_out),
            "coherence": made.coherence.model_copy(update={"scores": scores}),
        }
    )
    report = shown_report(made)
    evidence = {"loss": "nan", "all": ["nan", 1.0], "most": "inf"}
    checks = tuple(each.model_copy(update={"evidence": evidence}) for each in report.checks)
    page = render_page(report.model_copy(update={"checks": checks}))
    embedded = embedded_of(page)
    assert embedded["maps"][1]["student"][:2] == [[None, 0, 0], [None, 1000, 0]]
    assert embedded["drift"] == [0.0, None]
    assert {value for _, value in embedded["metrics"]["0.1"]["values"]} == {"–"}  # noqa: RUF001  # a dash, as in print
    text = text_of(page)
    assert not re.search(r"\b(nan|inf)\b", text)
    assert "2.5 → – nats per token" in text  # noqa: RUF001
    assert "loss – all –, 1 most ∞" in text  # noqa: RUF001
    assert text.count("does not exist") == 4


@pytest.mark.parametrize(
    ("loss", "failed_check", "word"),
    [
        (1.0, "masking.future-changes-nothing", "reads the future"),
        (1.0, "shape.x", "was trained"),
        (2.49, "", ""),
        (2.49, "masking.no-weight-on-future", "reads the future"),
        (2.4999, "masking.no-weight-on-future", ""),
        (2.51, "masking.no-weight-on-future", ""),
    ],
)
def test_a_lower_loss_is_explained(loss: float, failed_check: str, word: str) -> None:
    made = comparison()
    made = made.model_copy(update={"predictions": made.predictions.model_copy(update={"student_loss": loss})})
    report = shown_report(made)
    checks = tuple(
        each.model_copy(update={"id": failed_check}) if each.outcome == "failed" else each for each in report.checks
    )
    text = text_of(render_page(report.model_copy(update={"checks": checks})))
    assert ("no success" in text) == bool(word)
    assert word in text


def test_line_breaks_of_a_continuation_are_visible() -> None:
    said = Continuation(cached=False, reference="\nThe", student="\n\n")
    page = render_page(shown_report(comparison(continuations=(said,))))
    assert "<b>↵\nThe</b>" in page
    assert "<b>↵\n↵\n</b>" in page


def test_line_breaks_of_the_prompt_are_visible_in_a_title() -> None:
    report = shown_report()
    prompt = report.prompt.model_copy(update={"text": "The cat\n\nsat\n"})
    assert "Next token after “The cat↵↵sat↵”" in text_of(render_page(report.model_copy(update={"prompt": prompt})))


def test_the_title_is_the_submission_and_not_a_path_of_this_machine() -> None:
    page = render_page(shown_report(target="/srv/classes/week1/alice/attention.py"))
    assert "<title>alice/attention.py: failed</title>" in page
    assert "<h1>alice/attention.py</h1>" in page


def test_a_check_that_was_not_run_is_no_measured_zero() -> None:
    skipped = check("skipped", message="needs masking.x", points_possible=4.0)
    report = report_of(check("failed"), skipped, check("skipped", "similarity", message="needs masking.x"))
    page = render_page(report)
    text = text_of(page)
    assert "masking 0 / 20 1 not run similarity 0 / 4 not run" in text
    assert "Not run: 2 checks (needs masking.x)." in text
    assert "a title not run: needs masking.x" in text
    assert page.count('<b style="width:50.00%">') == page.count('<b style="width:100.00%">') == 1
    assert "not run" not in text_of(render_page(report_of(check("failed"))))


def test_an_ungradable_run_shows_no_points() -> None:
    """Also when checks have been run: a part of the points is not a result."""
    report = shown_report().model_copy(update={"verdict": "ungradable", "reason": "partial: 2 of 56 checks"})
    text = text_of(render_page(report))
    assert "partial: 2 of 56 checks No points were given or taken" in text
    assert "of 20 points" not in text
    assert "20 / 20" not in text


def test_everything_from_the_submission_is_escaped() -> None:
    report = shown_report(target=HOSTILE, words=HOSTILE, tokens=(HOSTILE,) * 3)
    page = render_page(report)
    assert page.count("<script") == 2
    assert "<img" not in page
    assert html.escape(HOSTILE, quote=False)[:20] in page


def test_what_cannot_be_seen_is_spelled_out() -> None:
    words = "\x1b[2J \u202e \x00 \ud800 end"
    page = render_page(shown_report(target=words, words=words))
    page.encode("utf-8")
    assert not set(page) & set("\x1b\u202e\x00")
    assert "\\x1b[2J \\x202e \\x00" in text_of(page)


def test_nothing_is_asked_of_a_server() -> None:
    page = render_page(shown_report())
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert not re.findall(r"url\(|@import|fetch\(|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_a_long_prompt_is_cut_and_the_page_stays_small() -> None:
    size = 200
    large = [[1.0 / (row + 1) if key <= row else 0.0 for key in range(size)] for row in range(size)]
    maps = tuple(AttentionMap(layer=0, head=head, reference=large, student=large) for head in range(12))
    report = shown_report(comparison(heads=12, maps=maps), tokens=("word",) * size)
    page = render_page(report)
    assert len(page.encode()) < 1_000_000
    assert len(embedded_of(page)["maps"][0]["reference"]) == MAX_TOKENS


def test_distilgpt2_s_size_stays_below_three_megabytes() -> None:
    size = 32
    full = [[1.0 / 3 for _ in range(size)] for _ in range(size)]
    maps = tuple(
        AttentionMap(layer=layer, head=head, reference=full, student=full) for layer in range(6) for head in range(12)
    )
    report = shown_report(comparison(layers=6, heads=12, maps=maps), tokens=("word",) * size)
    assert len(render_page(report).encode()) < 3_000_000


def test_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    write_page(shown_report(), tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
