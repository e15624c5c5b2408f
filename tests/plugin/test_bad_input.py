"""What is typed wrongly, or is not there: one message with the value and the remedy, a report, the right exit code."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.runs import REPORT, Run, Warm, flat
from tests.support.students import REFERENCE

USAGE = 4
UNGRADABLE = 10


@dataclass
class Case:
    """One thing somebody types.

    Args:
        words: what the message must contain, on the terminal and in the report.
    """

    words: tuple[str, ...]
    exit_code: int = USAGE
    args: tuple[str, ...] = ()
    target: str = "student.py"
    files: dict[str, str] = field(default_factory=lambda: {"student.py": REFERENCE})


TWO_FUNCTIONS = f"{REFERENCE.replace('def attention', 'def one')}\ndef other(query, key, value):\n    return value\n"

# Nothing of these needs the model: they end before anything is loaded.
AT_ONCE = {
    "missing module": Case(("--attn-student=pkg.nowhere", "'pkg'", "There are student.py"), target="pkg.nowhere"),
    "misspelt module": Case(("no module 'studnet'", "Did you mean student.py?"), target="studnet"),
    "missing file": Case(("there is no file", "stundet.py", "Did you mean student.py?"), target="stundet.py"),
    "folder": Case(
        ("--attn-student=work is a folder", "work/attention.py", "It holds mine.py"),
        target="work",
        files={"work/mine.py": REFERENCE},
    ),
    "not python": Case(("notes.txt is not a Python file",), target="./notes.txt", files={"notes.txt": "dear diary"}),
    "not a name": Case(("'not-a-name' after the colon",), target="student.py:not-a-name"),
    "layer is no number": Case(
        ("--attn-layer got 'first'", "a layer number, counted from 0"), args=("--attn-layer=first",)
    ),
    "negative layer": Case(("--attn-layer got '-1'",), args=("--attn-layer=-1",)),
    "empty prompt": Case(("--attn-prompt is empty", "The cat sat on the mat"), args=("--attn-prompt=",)),
    "no tier": Case(("--attn-sandbox got 'strong'", "auto"), args=("--attn-sandbox=strong",)),
    "no hint level": Case(("--attn-hints got 'all'", "nudge"), args=("--attn-hints=all",)),
    "budget": Case(("--attn-budget got '0'", "above 0"), args=("--attn-budget=0",)),
    "timeout": Case(("--attn-timeout got 'long'",), args=("--attn-timeout=long",)),
    "seed": Case(("--attn-seed got '-3'", "whole number"), args=("--attn-seed=-3",)),
}
WITH_MODEL = {
    "several candidates": Case(
        ("2 functions could be graded", "other(query, key, value)", "--attn-student=student.py:other"),
        files={"student.py": TWO_FUNCTIONS},
    ),
    "layer out of range": Case(("--attn-layer=3", "mini has 3 layers, numbered 0 to 2"), args=("--attn-layer=3",)),
    "one-token prompt": Case(("--attn-prompt='The'", "at least two"), args=("--attn-prompt=The",)),
    "prompt beyond the context": Case(
        ("tokens long, and mini takes at most", "shorten it"), args=(f"--attn-prompt={'the cat ' * 700}",)
    ),
    "unknown model": Case(("./nowhere",), UNGRADABLE, args=("--attn-model=./nowhere",)),
}


def typed(case: Case, warm: Warm) -> Run:
    return warm.grade(case.files, *case.args, target=case.target)


def check(case: Case, run: Run) -> None:
    run.assert_ungradable(case.exit_code, *case.words)
    assert run.report["score"] == {"earned": 0, "possible": 0, "by_category": {}}
    assert run.report["student"]["target"] == case.target
    assert run.report["checks"] == []
    # One message, not the same one twice in different words.
    assert len(flat(run.text)) < 3000


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", AT_ONCE)
def test_it_ends_at_once(name: str, warm: Warm) -> None:
    run = typed(AT_ONCE[name], warm)
    check(AT_ONCE[name], run)
    assert run.stdout == ""
    assert run.stderr.startswith("ERROR: ")
    assert run.stderr.count("\n") <= 3


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "prompt" in name else []) for name in WITH_MODEL]
)
def test_it_ends_when_the_model_is_there(name: str, warm: Warm) -> None:
    check(WITH_MODEL[name], typed(WITH_MODEL[name], warm))


@pytest.mark.parametrize("place", ["nowhere/report.json", "."], ids=["no such folder", "a folder"])
def test_a_report_that_cannot_be_written(place: str, warm: Warm) -> None:
    run = warm.grade(REFERENCE, f"--attn-report={place}")
    assert run.exit_code == USAGE
    assert "--attn-report=" in run.stderr
    assert "cannot be written" in run.stderr
    assert "Choose a file in an existing folder" in flat(run.stderr)
    assert not (run.folder / REPORT).exists()
    assert "Traceback" not in run.text


def test_a_usage_error_is_one_without_a_report_too(warm: Warm) -> None:
    run = warm.pytest("--attn-student=nowhere", folder=warm.folder())
    assert run.exit_code == USAGE
    assert run.stderr.startswith("ERROR: --attn-student=nowhere: there is no module 'nowhere'")
    assert not list(run.folder.iterdir())
