from __future__ import annotations

import pytest

from pytest_attn_grader.results.report import CATEGORIES
from pytest_attn_grader.settings.options import DEFAULT_POINTS, OPTIONS, Option, read_option
from tests.settings.configs import config_of

# Two values of every option that differ from each other and from the default; the empty and the falsy ones count too.
OTHER_VALUES = {
    "student": ("one", "two.three:name", "four.py"),
    "model": ("mini", "owner/name", "./folder"),
    "layer": ("1", "02", "3"),
    "prompt": ("a b", "c d", "e f"),
    "device": ("cpu", "cuda", "cuda:1"),
    "report": ("one.json", "two.json", "three.json"),
    "html": ("one.html", "two.html", "three.html"),
    "plots": ("one", "two", "three"),
    "format": ("github:one", "exercism:two", "classroom:three"),
    "progress": ("one.json", "two.json", "three.json"),
    "budget": ("1", "2.5", "3e1"),
    "mask": ("keep", "additive", "blocked"),
    "timeout": ("1", "0.5", "7"),
    "seed": ("0", "1", "2"),
    "sandbox": ("process", "bwrap", "none"),
    "require_sandbox": ("process", "bwrap", "process"),
    "hints": ("none", "nudge", "fix"),
    "title": ("one", "two", "three"),
    "catalogue": ("https://one", "https://two", "http://three"),
}


def test_the_default_points_are_a_hundred_in_known_categories() -> None:
    assert sum(DEFAULT_POINTS.values()) == 100
    assert set(DEFAULT_POINTS) <= set(CATEGORIES)


def test_every_option_has_values_here() -> None:
    assert set(OTHER_VALUES) == {option.noun for option in OPTIONS}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.noun)
def test_precedence(option: Option, pytester: pytest.Pytester) -> None:
    on_command_line, in_environment, in_ini = OTHER_VALUES[option.noun]
    flag, variable = f"--attn-{option.noun.replace('_', '-')}", f"ATTN_{option.noun.upper()}"
    ini = f"attn_{option.noun} = {in_ini}"
    config = config_of(pytester, f"{flag}={on_command_line}", ini=ini)
    assert read_option(config, option.noun, {variable: in_environment}) == (on_command_line, flag)
    setattr(config.option, f"attn_{option.noun}", None)  # not typed
    expected = (in_environment, f"environment variable {variable}")
    assert read_option(config, option.noun, {variable: in_environment}) == expected
    assert read_option(config, option.noun, {}) == (in_ini, f"ini option attn_{option.noun}")


def test_defaults_come_last(pytester: pytest.Pytester) -> None:
    config = config_of(pytester)
    for option in OPTIONS:
        assert read_option(config, option.noun, {"ATTN_OTHER": "x"}) == (option.default, "default")


@pytest.mark.parametrize("value", ["", "0"])
def test_an_explicit_nothing_wins_over_what_comes_after(value: str, pytester: pytest.Pytester) -> None:
    nouns = [option.noun for option in OPTIONS]
    elsewhere = "\n".join(f"attn_{noun} = {OTHER_VALUES[noun][2]}" for noun in nouns)
    config = config_of(pytester, *(f"--attn-{noun.replace('_', '-')}={value}" for noun in nouns), ini=elsewhere)
    for noun in nouns:
        variable = f"ATTN_{noun.upper()}"
        assert read_option(config, noun, {variable: "other"}) == (value, f"--attn-{noun.replace('_', '-')}")
        setattr(config.option, f"attn_{noun}", None)
        assert read_option(config, noun, {variable: value}) == (value, f"environment variable {variable}")
    config = config_of(pytester, ini="\n".join(f"attn_{noun} = {value}" for noun in nouns))
    for noun in nouns:
        assert read_option(config, noun, {}) == (value, f"ini option attn_{noun}")


def test_the_environment_of_the_process_is_asked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTN_LAYER", "4")
    assert read_option(config_of(pytester), "layer") == ("4", "environment variable ATTN_LAYER")


def test_can_be_asked_before_the_command_line_is_parsed_for_good(pytester: pytest.Pytester) -> None:
    seen = []

    class Early:
        @pytest.hookimpl(tryfirst=True)
        def pytest_load_initial_conftests(self, early_config: pytest.Config) -> None:
            seen.append(read_option(early_config, "model", {}, early=True))

    pytester.plugins.append(Early())
    config_of(pytester, "--attn-model=mini", ini="attn_model = other")
    assert seen == [("mini", "--attn-model")]


def test_the_help_names_every_option_and_its_default(pytester: pytest.Pytester) -> None:
    text = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    for option in OPTIONS:
        value = option.metavar if option.bare is None else f"[{option.metavar}]"
        assert f"{option.flag}={value}" in text or f"{option.flag} {value}" in text
        assert option.default is None or f"(default: {option.default})" in text.replace("- ", "-")
