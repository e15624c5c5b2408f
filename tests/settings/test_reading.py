from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.settings.options import DEFAULT_POINTS, DEFAULT_THRESHOLDS, PROMPT_EXAMPLE
from pytest_attn_grader.settings.reading import read_settings
from pytest_attn_grader.settings.settings import IniFile, Settings
from tests.settings.configs import ReadSettings, config_of

# What pytester.makeini writes.
INI = IniFile("tox.ini")


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
    ("catalogue", "javascript:alert(1)", "an address that begins with https:// or http://"),
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
    ("model", " ", "a model: auto, mini, mini-llama, smollm2, distilgpt2, a hub id or a folder"),
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
