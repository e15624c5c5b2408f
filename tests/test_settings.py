from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.results import CATEGORIES
from pytest_attn_grader.settings import (
    DEFAULT_POINTS,
    DEFAULT_THRESHOLDS,
    OPTIONS,
    PROMPT_EXAMPLE,
    IniFile,
    Option,
    Settings,
    read_option,
    read_settings,
)

ReadSettings = Callable[..., Settings]

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
    "timeout": ("1", "0.5", "7"),
    "seed": ("0", "1", "2"),
    "sandbox": ("process", "bwrap", "none"),
    "require_sandbox": ("process", "bwrap", "process"),
    "hints": ("none", "nudge", "fix"),
}


# What pytester.makeini writes.
INI = IniFile("tox.ini", heeded=True)


@pytest.fixture
def read(pytester: pytest.Pytester) -> ReadSettings:
    """Settings of a real pytest configuration: `read("--attn-model=mini", ini="...", environment={...})`."""

    def make(*args: str, ini: str = "", environment: Mapping[str, str] | None = None) -> Settings:
        settings = read_settings(config_of(pytester, *args, ini=ini), environment or {})
        assert settings is not None
        return settings

    return make


def config_of(pytester: pytest.Pytester, *args: str, ini: str = "") -> pytest.Config:
    pytester.makeini(f"[pytest]\n{ini}\n")
    return pytester.parseconfig(*args)


def field(settings: Settings, option: Option) -> Any:
    name = {"layer": "layer_idx", "budget": "budget_seconds", "timeout": "timeout_seconds", "format": "formats"}.get(
        option.noun, option.noun
    )
    return getattr(settings, name)


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


def test_without_a_student_there_are_no_settings(pytester: pytest.Pytester) -> None:
    # Values that could not be used are nobody's business as long as nothing is graded.
    config = config_of(pytester, "--attn-layer=none", "--attn-budget=-1", ini="attn_points = nonsense")
    assert read_settings(config, {}) is None


def test_defaults(read: ReadSettings, pytester: pytest.Pytester) -> None:
    settings = read("--attn-student=my_attention")
    assert settings == Settings(student="my_attention", seed=settings.seed, invocation_dir=pytester.path, ini=INI)
    assert (settings.model, settings.layer_idx, settings.prompt) == ("auto", 0, "The cat sat on the mat")
    assert (settings.budget_seconds, settings.timeout_seconds, settings.report) == (90.0, 10.0, None)
    assert (settings.sandbox, settings.hints, settings.device, settings.forbid) == ("auto", "explain", "auto", ())
    assert settings.points == DEFAULT_POINTS
    assert settings.thresholds == DEFAULT_THRESHOLDS


def test_the_default_points_are_a_hundred_in_known_categories() -> None:
    assert sum(DEFAULT_POINTS.values()) == 100
    assert set(DEFAULT_POINTS) <= set(CATEGORIES)


def test_values_arrive_in_their_types(read: ReadSettings, pytester: pytest.Pytester) -> None:
    settings = read(
        "--attn-student= my_attention ",
        "--attn-model= mini ",
        "--attn-layer=5",
        "--attn-prompt=two words",
        "--attn-device=cuda:1",
        "--attn-report=out/report.json",
        "--attn-budget=0.5",
        "--attn-timeout=1e1",
        "--attn-seed=0",
        "--attn-sandbox=process",
        "--attn-hints=none",
        ini="attn_forbid =\n  scaled_dot_product_attention\n  MultiheadAttention",
    )
    assert settings == Settings(
        student="my_attention",
        model="mini",
        layer_idx=5,
        prompt="two words",
        device="cuda:1",
        report=pytester.path / "out" / "report.json",
        budget_seconds=0.5,
        timeout_seconds=10.0,
        seed=0,
        sandbox="process",
        hints="none",
        forbid=("scaled_dot_product_attention", "MultiheadAttention"),
        invocation_dir=pytester.path,
        ini=INI,
    )


def test_a_sandbox_can_be_required_without_saying_which(read: ReadSettings) -> None:
    assert read("--attn-student=x").require_sandbox is None
    assert read("--attn-student=x", "--attn-require-sandbox").require_sandbox == "bwrap"
    assert read("--attn-student=x", "--attn-require-sandbox=process").require_sandbox == "process"


def test_an_absolute_report_path_stays(read: ReadSettings, tmp_path: Path) -> None:
    assert read("--attn-student=x", f"--attn-report={tmp_path / 'r.json'}").report == tmp_path / "r.json"


def test_formats_may_be_given_again(read: ReadSettings, pytester: pytest.Pytester) -> None:
    here = pytester.path
    settings = read("--attn-student=x", "--attn-format=github:s.md", "--attn-format=gradescope:/out/r:1.json")
    assert settings.formats == (("github", here / "s.md"), ("gradescope", Path("/out/r:1.json")))
    settings = read("--attn-student=x", ini="attn_format =\n  github:s.md\n  exercism:e.json")
    assert settings.formats == (("github", here / "s.md"), ("exercism", here / "e.json"))


@pytest.mark.parametrize("value", ["", "github", "github:", "moodle:x", ":x"])
def test_a_format_that_is_none(value: str, read: ReadSettings) -> None:
    with pytest.raises(UsageError, match=f"--attn-format got {value!r}, but format must be NAME:PATH with a name of"):
        read("--attn-student=x", f"--attn-format={value}")


def test_a_seed_of_zero_is_a_seed(read: ReadSettings) -> None:
    assert [read("--attn-student=x", "--attn-seed=0").seed for _ in range(2)] == [0, 0]
    assert read("--attn-student=x", f"--attn-seed={2**63 - 1}").seed == 2**63 - 1


def test_without_a_seed_every_run_draws_its_own(read: ReadSettings) -> None:
    seeds = {read("--attn-student=x").seed for _ in range(4)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_points_and_thresholds(read: ReadSettings) -> None:
    ini = "attn_points =\n  masking = 50\n  budget=0\nattn_thresholds =\n  cosine = 0.5"
    settings = read("--attn-student=x", ini=ini)
    assert settings.points == {**DEFAULT_POINTS, "masking": 50.0, "budget": 0.0}
    assert settings.thresholds == {**DEFAULT_THRESHOLDS, "cosine": 0.5}


def test_an_instructors_own_checks_can_have_points(read: ReadSettings) -> None:
    assert read("--attn-student=x").points["custom"] == 0
    assert read("--attn-student=x", ini="attn_points =\n  custom = 12.5").points["custom"] == 12.5


def test_tables_cannot_be_changed(read: ReadSettings) -> None:
    settings = read("--attn-student=x", ini="attn_points = masking = 1")
    for table in (settings.points, settings.thresholds, DEFAULT_POINTS, DEFAULT_THRESHOLDS):
        with pytest.raises(TypeError, match="does not support item assignment"):
            table["masking"] = 0.0  # type: ignore[index]


UNUSABLE = [
    ("layer", "-1", "a layer number, counted from 0, or all"),
    ("layer", "", "a layer number, counted from 0, or all"),
    ("layer", "1.5", "a layer number, counted from 0, or all"),
    ("layer", "last", "a layer number, counted from 0, or all"),
    ("seed", "-1", "a whole number from 0 to 2**63 - 1"),
    ("seed", "", "a whole number from 0 to 2**63 - 1"),
    ("seed", str(2**63), "a whole number from 0 to 2**63 - 1"),
    ("seed", "1" * 5000, "a whole number from 0 to 2**63 - 1"),
    ("budget", "0", "a number of seconds above 0"),
    ("budget", "", "a number of seconds above 0"),
    ("budget", "nan", "a number of seconds above 0"),
    ("budget", "inf", "a number of seconds above 0"),
    ("timeout", "-1", "a number of seconds above 0"),
    ("timeout", "soon", "a number of seconds above 0"),
    ("sandbox", "", "one of auto, bwrap, process, none"),
    ("sandbox", "Process", "one of auto, bwrap, process, none"),
    ("require_sandbox", "none", "one of bwrap, process"),
    ("hints", "0", "one of none, nudge, explain, fix"),
    ("model", " ", "a model: auto, mini, distilgpt2, a hub id or a folder"),
    ("device", "", "auto, cpu, cuda or cuda:N"),
    ("report", "", "a path"),
    ("prompt", "a \udcff", "text in UTF-8"),
]


def test_a_value_that_cannot_be_used(pytester: pytest.Pytester) -> None:
    config = config_of(pytester, "--attn-student=x")
    for noun, value, expects in UNUSABLE:
        with pytest.raises(UsageError) as caught:
            read_settings(config, {f"ATTN_{noun.upper()}": value})
        source = f"environment variable ATTN_{noun.upper()}"
        assert str(caught.value) == f"{source} got {value!r}, but {noun} must be {expects}."


@pytest.mark.parametrize(
    ("args", "ini", "source"),
    [(["--attn-layer=first"], "", "--attn-layer"), ([], "attn_layer = first", "ini option attn_layer")],
)
def test_the_message_says_where_it_came_from(args: list[str], ini: str, source: str, pytester: pytest.Pytester) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(config_of(pytester, "--attn-student=x", *args, ini=ini), {})
    assert str(caught.value) == f"{source} got 'first', but layer must be a layer number, counted from 0, or all."


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_student_is_not_no_student(value: str, pytester: pytest.Pytester) -> None:
    config = config_of(pytester, f"--attn-student={value}")
    with pytest.raises(UsageError) as caught:
        read_settings(config, {"ATTN_STUDENT": "other"})
    assert str(caught.value) == ("--attn-student is empty. Give a module or a file: --attn-student=my_attention")


def test_an_empty_student_in_the_environment(pytester: pytest.Pytester) -> None:
    with pytest.raises(UsageError, match=r"^environment variable ATTN_STUDENT is empty\."):
        read_settings(config_of(pytester), {"ATTN_STUDENT": ""})


def test_an_empty_prompt(pytester: pytest.Pytester) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(config_of(pytester, "--attn-student=x", "--attn-prompt= "), {})
    expected = f"--attn-prompt is empty. Give a sentence of at least two tokens, such as {PROMPT_EXAMPLE!r}."
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("masking", "'masking' is not 'name = number' with a name of contract, shape, "),
        ("colour = 3", "'colour = 3' is not 'name = number' with a name of contract, shape, "),
        ("masking = many", "'many' in 'masking = many' is not a number."),
        ("masking = -1", "'-1' in 'masking = -1' must be finite and not negative."),
        ("masking = nan", "'nan' in 'masking = nan' must be finite and not negative."),
        ("masking = inf", "'inf' in 'masking = inf' must be finite and not negative."),
        ("masking = ", "'' in 'masking =' is not a number."),
    ],
)
def test_points_that_cannot_be_read(line: str, message: str, pytester: pytest.Pytester) -> None:
    config = config_of(pytester, "--attn-student=x", ini=f"attn_points =\n  {line}")
    with pytest.raises(UsageError, match="^" + re.escape(f"ini option attn_points: {message}")):
        read_settings(config, {})


def test_thresholds_have_names_of_their_own(pytester: pytest.Pytester) -> None:
    config = config_of(pytester, "--attn-student=x", ini="attn_thresholds =\n  masking = 1")
    with pytest.raises(
        UsageError, match=r"^ini option attn_thresholds: 'masking = 1' is not .* with a name of cosine, "
    ):
        read_settings(config, {})


def test_the_help_names_every_option_and_its_default(pytester: pytest.Pytester) -> None:
    text = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    for option in OPTIONS:
        value = option.metavar if option.bare is None else f"[{option.metavar}]"
        assert f"{option.flag}={value}" in text or f"{option.flag} {value}" in text
        assert option.default is None or f"(default: {option.default})" in text.replace("- ", "-")


def test_as_json_shows_what_was_decided_and_no_path_of_this_machine(tmp_path: Path) -> None:
    settings = Settings(student="x", report=tmp_path / "r.json", invocation_dir=tmp_path, forbid=("sdpa",))
    shown = settings.as_json()
    assert str(tmp_path) not in repr(shown)
    assert shown["points"] == dict(DEFAULT_POINTS)
    assert (shown["student"], shown["layer_idx"], shown["forbid"]) == ("x", 0, ["sdpa"])
