from __future__ import annotations

import copy
import pickle
from typing import get_args

import pytest

from pytest_attn_grader import errors
from pytest_attn_grader.errors import AttnGraderError, FailureName, PatchingError, SubmissionError, UngradableError


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn: dict[str, str] = {}
    above = [""]
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        above[depth:] = [name]
        drawn[name] = above[depth - 1] if depth else "Exception"
    defined = {
        name: value.__mro__[1].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert drawn == defined


def test_a_surgery_error_is_a_value_error_too() -> None:
    assert issubclass(PatchingError, ValueError)
    assert not issubclass(SubmissionError, UngradableError)


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
@pytest.mark.parametrize("name", get_args(FailureName))
def test_a_submission_error_survives_the_way_between_processes(again, name) -> None:
    error = SubmissionError(name, "message", remedy="remedy", where="a.py:1", traceback="a.py:1 in f")
    other = again(error)
    assert type(other) is SubmissionError
    assert vars(other) == vars(error)
    assert str(other) == "message"


def test_everything_raised_on_purpose_has_one_base() -> None:
    assert all(
        issubclass(value, AttnGraderError)
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    )


def test_exit_codes_are_none_of_pytests() -> None:
    assert {errors.EXIT_UNGRADABLE, errors.EXIT_REPORT_LOST}.isdisjoint(set(map(int, pytest.ExitCode)))
    assert errors.EXIT_UNGRADABLE != errors.EXIT_REPORT_LOST
