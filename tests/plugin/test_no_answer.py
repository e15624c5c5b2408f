"""Submissions that give no usable answer: the student's fault, named, with its line; exit code 1 and never a pass."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

HEAD = "import torch\n\ndef attention(query, key, value, mask=None):\n"


@dataclass
class Case:
    """A submission that is no attention.

    Args:
        check: the first check that fails; everything else is skipped because of it.
        failure: its name in the report; None when an answer came that cannot be judged.
        words: what `actual` or `hint` must say.
    """

    source: str
    check: str
    failure: str | None
    words: tuple[str, ...]
    target: str = "student.py"


CASES = {
    "missing name": Case(
        REFERENCE, "contract.import", "no-target", ("atention", "attention"), target="student.py:atention"
    ),
    "syntax error": Case("def attention(query:\n", "contract.import", "import-error", ("SyntaxError", "student.py:1")),
    "missing dependency": Case(
        "import numpyy\n", "contract.import", "import-error", ("'numpyy', which is not installed", "student.py:1")
    ),
    "exits on import": Case("import sys\nsys.exit(0)\n", "contract.import", "exited", ("SystemExit",)),
    "skips on import": Case(
        "import pytest\npytest.skip('not today', allow_module_level=True)\n", "contract.import", "import-error", ()
    ),
    "empty": Case("", "contract.target", "no-target", ("no function", "attention(query, key, value, mask=None)")),
    "wrong signature": Case(
        "def attention(query, key):\n    return query\n",
        "contract.target",
        "no-target",
        ("attention(query, key)", "no parameter for value"),
    ),
    "asks for more": Case(
        "def attention(query, key, value, mask, vocabulary):\n    return query\n",
        "contract.target",
        "no-target",
        ("'vocabulary'", "default"),
    ),
    "returns None": Case(f"{HEAD}    pass\n", "contract.call", "malformed-reply", ("None",)),
    "returns text": Case(f"{HEAD}    return 'done'\n", "contract.call", "malformed-reply", ("str",)),
    "raises": Case(f"{HEAD}    raise ValueError('not yet')\n", "contract.call", "raised", ("not yet", "student.py:4")),
    "skips": Case(
        f"{HEAD}    import pytest\n    pytest.skip('not today')\n",
        "contract.call",
        "raised",
        ("not today", "student.py:5"),
    ),
    "wrong shape": Case(f"{HEAD}    return query.sum()\n", "shape[basic]", None, ("attn_output of shape ()",)),
}
QUICK = {"missing name", "syntax error"}


def case(name: str) -> object:
    return pytest.param(name, id=name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", [case(name) for name in CASES])
def test_a_submission_without_an_answer(name: str, warm: Warm) -> None:
    wanted = CASES[name]
    run = warm.grade(wanted.source, target=wanted.target)
    run.assert_failed(wanted.check)
    failed = run.checks[wanted.check]
    assert (failed["failure"] or {"name": None})["name"] == wanted.failure
    for word in wanted.words:
        assert word in f"{failed['actual']} {failed['hint']}", failed
        assert word in run.stdout
    summary = run.stdout.partition("= attention grader =")[2]
    assert f"first failure: {failed['title']}" in summary or "diagnosis: " in summary
    assert_nothing_else_counts(run, wanted.check)


def assert_nothing_else_counts(run: Run, check_id: str) -> None:
    """No points for what could not be asked, and a reason with every check."""
    before = set(list(run.checks)[: list(run.checks).index(check_id)])
    assert run.ids("passed") - {"budget.run", "purity.inputs", "purity.import"} == before
    assert all(run.checks[skipped]["message"].startswith("needs ") for skipped in run.ids("skipped"))
    assert run.ids("passed") | run.ids("failed") | run.ids("skipped") == set(run.checks)


@pytest.mark.slow
def test_answers_that_can_be_called_but_not_be_right(warm: Warm) -> None:
    """NaN everywhere: called, shaped, and failed where it is asked for finite numbers."""
    run = warm.grade(f"{HEAD}    return query * float('nan')\n")
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (1, "failed")
    assert "weights.finite" in run.ids("failed")
    assert "NaN" in run.checks["weights.finite"]["actual"]
    assert not {
        check_id for check_id in run.ids("passed") if check_id.startswith(("masking", "equivalence", "gradients"))
    }
    assert not run.ids("error")


@pytest.mark.slow
def test_a_result_in_another_dtype(warm: Warm) -> None:
    run = warm.grade(f"{HEAD}    return query.double()\n")
    run.assert_tidy()
    assert run.exit_code == 1
    assert "shape[basic]" in run.ids("failed")
    assert "torch.float64" in run.checks["shape[basic]"]["actual"]
    assert not run.ids("error")
