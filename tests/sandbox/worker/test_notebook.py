from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker.notebook import without_magics
from pytest_attn_grader.submission.adapt import fit
from tests.support.students import REFERENCE

if TYPE_CHECKING:
    from tests.support.students import Workshop


def notebook(*cells: str) -> str:
    """A notebook of code cells, with a text cell in front."""
    text = [{"cell_type": "markdown", "source": ["# Week 3"]}]
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []} for cell in cells]
    return json.dumps({"cells": text + code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_code_cells_are_run_in_order(workshop: Workshop) -> None:
    cells = ("%matplotlib inline\n!pip list\nimport torch", REFERENCE, "%%bash\nls", "attention?")
    student = workshop.student(notebook(*cells), name="attention", suffix=".ipynb")
    attention = fit(student, student.contract, seed=0)
    assert attention.contract.candidate.name == "attention"
    assert attention.contract.candidate.file is not None
    assert attention.contract.candidate.file.endswith(".ipynb[cell 2]")


def test_a_cell_that_fails_is_named(workshop: Workshop) -> None:
    student = workshop.student(notebook("x = 1", "y = x / 0"), suffix=".ipynb")
    with pytest.raises(SubmissionError, match="ZeroDivisionError") as caught:
        _ = student.description
    assert caught.value.name == "import-error"
    assert caught.value.where is not None
    assert caught.value.where.endswith(".ipynb[cell 2]:1")


def test_a_file_that_is_no_notebook(workshop: Workshop) -> None:
    student = workshop.student("def attention(): ...", suffix=".ipynb")
    with pytest.raises(SubmissionError, match="is not a notebook") as caught:
        _ = student.description
    assert caught.value.remedy == "Save it as a Jupyter notebook, version 4."


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        ("x = 1", "x = 1"),
        ("%time f()\nx = 1", "pass\nx = 1\n"),
        ("if x:\n    !ls\n", "if x:\n    pass\n"),
        ("%%time\nx = 1", "\nx = 1\n"),
        ("%%bash\nls", ""),
        ("x = (7\n% 2)", "x = (7\n% 2)"),
        ("help?", "pass\n"),
    ],
)
def test_magics(source: str, runs: str) -> None:
    assert without_magics(source) == runs
