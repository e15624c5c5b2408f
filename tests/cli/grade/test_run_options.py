"""Every option of a single run is an option of `attn-grader grade`, with the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.cli.grade.run_options import (
    INI_LISTS,
    RUN_OPTIONS,
    SET_BY_GRADE,
    pytest_arguments,
    read_run_settings,
)
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.settings.options import OPTIONS


def test_an_option_is_offered_or_set_for_each_submission() -> None:
    printed = CliRunner().invoke(app, ["grade", "--help"]).stdout
    for option in OPTIONS:
        flag = f"--{option.noun.replace('_', '-')} "
        assert flag in printed or option.noun in SET_BY_GRADE, option.noun
    for name in INI_LISTS:
        assert f"--{name} " in printed
    assert {option.noun for option in RUN_OPTIONS} | SET_BY_GRADE == {option.noun for option in OPTIONS}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "-1"], "--attn-seed got '-1'"),
        (["--layer", "first"], "--attn-layer got 'first'"),
        (["--hints", "lots"], "--attn-hints got 'lots'"),
        (["--budget", "nan"], "--attn-budget got 'nan'"),
        (["--sandbox", "cage"], "--attn-sandbox got 'cage'"),
        (["--option=--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["--processes", "-3"], "--processes"),
        (["--points", "masking=lots"], "'lots' in 'masking=lots' is not a number"),
        (["--points", "masks=3"], "'masks=3' is not 'name = number' with a name of contract, "),
        (["--thresholds", "cosine=nan"], "'nan' in 'cosine=nan' must be finite"),
        (["--thresholds", "cosine"], "'cosine' is not 'name = number'"),
        (["--mask", "inverted"], "--attn-mask got 'inverted'"),
        (["--timeout", "0"], "--attn-timeout got '0'"),
        (["--require-sandbox", "none"], "--attn-require-sandbox got 'none'"),
        (["--name", "two words"], "--name two words: this is not a Python name"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_graded(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "ann.py").write_text("x = 1")
    result = CliRunner().invoke(app, ["grade", str(tmp_path / "ann.py"), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "out").exists()


def given(**values: str) -> dict[str, str | None]:
    return {option.noun: values.get(option.noun) for option in RUN_OPTIONS}


def test_precedence_is_that_of_a_single_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nattn_model = mini\nattn_layer = 1\nattn_seed = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTN_LAYER", "2")
    settings, seed = read_run_settings(pytest_arguments(given(hints="fix"), ("--attn-timeout=3",)))
    assert (settings.model, settings.layer_idx, settings.hints, seed) == ("mini", 2, "fix", 7)
    assert settings.timeout_seconds == 3
    assert read_run_settings(pytest_arguments(given(layer="0"), ()))[0].layer_idx == 0


def test_what_an_ini_file_lists_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the ini file's lists; one that is not typed stays the ini file's."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nattn_points =\n  shape = 1\nattn_thresholds =\n  cosine = 0.5\n")
    monkeypatch.chdir(tmp_path)
    typed = {**given(), "points": ["masking=40", "budget = 0"], "forbid": ["scaled_dot_product_attention"]}
    settings, _ = read_run_settings(pytest_arguments(typed, ()))
    assert (settings.points["masking"], settings.points["budget"], settings.points["shape"]) == (40, 0, 10)
    assert settings.forbid == ("scaled_dot_product_attention",)
    assert settings.thresholds["cosine"] == 0.5


def test_without_a_seed_none_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_run_settings(pytest_arguments(given(), ()))[1] is None


def test_an_ini_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nattn_points = masking\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="attn_points"):
        read_run_settings(pytest_arguments(given(), ()))
