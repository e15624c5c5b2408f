from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.cli.explain import site
from pytest_attn_grader.cli.explain.measurements import measure_mistake
from pytest_attn_grader.misconceptions import MISCONCEPTIONS, find_misconception

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel


def test_a_wrong_scale_moves_attention_and_loss(mini: LoadedModel) -> None:
    measured = measure_mistake(find_misconception("scale-dk"), mini)
    assert measured.error == ""
    assert measured.student_loss > measured.reference_loss + 1
    assert measured.total_variation > 0.2
    assert 0 < measured.gradient_ratio < 1
    assert measured.changed is not None
    assert measured.changed.reference[0].token == measured.changed.next_token
    assert measured.changed.student[0].token != measured.changed.next_token


@pytest.mark.parametrize(
    ("slug", "error"),
    [("merge-conflict", "SyntaxError"), ("no-return", "TypeError"), ("import-fails", "ModuleNotFoundError")],
)
def test_code_that_does_not_run_is_said(slug: str, error: str, mini: LoadedModel) -> None:
    assert measure_mistake(find_misconception(slug), mini).error.startswith(error)


def test_numbers_that_do_not_exist_are_nan(mini: LoadedModel) -> None:
    measured = measure_mistake(find_misconception("plus-inf-fill"), mini)
    assert math.isnan(measured.student_loss)
    assert math.isnan(measured.gradient_ratio)
    assert measured.changed is None


@pytest.mark.slow
def test_every_mistake_can_be_measured(mini: LoadedModel) -> None:
    """Each has an error, or a map: a page is never empty."""
    for mistake in MISCONCEPTIONS:
        measured = measure_mistake(mistake, mini)
        assert bool(measured.error) != (measured.head is not None), mistake.slug


def test_the_command_writes_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = tuple(find_misconception(slug) for slug in ("no-scale", "no-return"))
    monkeypatch.setattr(site, "MISCONCEPTIONS", mistakes)
    lines: list[str] = []
    site.write_catalogue(tmp_path / "site", "mini", write_line=lines.append)
    assert [Path(line).name for line in lines] == ["index.html", "no-scale.html", "no-return.html"]
