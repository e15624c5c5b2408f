"""The site has the docstrings of the catalogue, its links lead somewhere, and it loads nothing."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from pytest_attn_grader.cli.explain.measurements import Measurement
from pytest_attn_grader.cli.explain.site import write_site
from pytest_attn_grader.misconceptions import MISCONCEPTIONS, find_misconception
from pytest_attn_grader.results.comparison import AttentionMap, ChangedPrediction, NextToken

HEAD = AttentionMap(layer=0, head=1, reference=[[1.0, 0.0], [0.25, 0.75]], student=[[1.0, 0.0], ["nan", 0.5]])
TOKENS = (NextToken(token=" <mat>", id=1, probability=0.5),)
CHANGED = ChangedPrediction(position=3, context="the cat\n", next_token=" sat", reference=TOKENS, student=TOKENS)
MEASURED = Measurement(
    tokens=(" <b>", " cat"),
    head=HEAD,
    total_variation=0.25,
    reference_loss=2.5,
    student_loss=3.5,
    changed=CHANGED,
    gradient_ratio=0.5,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "new"
    measurements = {mistake.slug: MEASURED for mistake in MISCONCEPTIONS}
    measurements["no-return"] = Measurement(error="TypeError: <None>")
    measurements["no-softmax"] = Measurement(tokens=("a", "b"), head=HEAD, total_variation=float("nan"))
    list(write_site(out, measurements, model="mini"))
    return out


def text_of(page: Path) -> str:
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_there_is_a_page_for_each_mistake_and_every_link_leads_to_one(site: Path) -> None:
    pages = {path.name for path in site.iterdir()}
    assert pages == {"index.html", *(f"{mistake.slug}.html" for mistake in MISCONCEPTIONS)}
    for page in sorted(site.iterdir()):
        assert set(re.findall(r'href="([^"]*)"', page.read_text(encoding="utf-8"))) <= pages


@pytest.mark.parametrize("mistake", MISCONCEPTIONS, ids=lambda mistake: mistake.slug)
def test_a_page_has_the_whole_docstring(mistake, site: Path) -> None:
    text = re.sub(r"[\s*]", "", text_of(site / f"{mistake.slug}.html"))
    parts = [mistake.title, *mistake.explanation.split("\n\n"), mistake.hints.nudge]
    for part in (*parts, *mistake.hints.fix.replace("Bad:", "").replace("Good:", "").split("\n")):
        assert re.sub(r"[\s*]", "", part) in text


def test_the_measurements_are_shown(site: Path) -> None:
    text = text_of(site / "no-scale.html")
    assert "2.5 → 3.5 nats per token" in text
    assert "25.0%" in text
    assert "0.5 \u00d7 the right one" in text
    assert "…the cat↵ sat" in text


def test_an_error_and_numbers_that_do_not_exist_are_said(site: Path) -> None:
    assert "raises an error: TypeError: <None>" in text_of(site / "no-return.html")
    text = text_of(site / "no-softmax.html")
    assert "do not exist" in text
    assert not re.search(r"\bnan\b", text)


def test_the_index_lists_and_finds_every_mistake(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert page.count("data-search=") == len(MISCONCEPTIONS)
    found = find_misconception("scale-dk")
    assert f"Attention that {found.title}" in text_of(site / "index.html")
    assert "ag102" in page


def test_nothing_is_loaded_and_nothing_is_markup(site: Path) -> None:
    for page in sorted(site.iterdir()):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"(?:src|url)\s*[=(]|@import|https?://", text)
        assert "default-src 'none'" in text
        assert "<mat>" not in text
