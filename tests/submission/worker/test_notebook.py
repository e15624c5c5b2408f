from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.trials import is_right
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


@pytest.mark.parametrize(
    "cell",
    [
        "from google.colab import drive\ndrive.mount('/content/drive')",
        "import torchtext_that_is_not_there",
        "data = open('/no/such/file').read()\nwords = data.split()",
        "1 / 0",
    ],
)
def test_a_cell_that_fails_before_the_definition_is_left_out(workshop: Workshop, cell: str) -> None:
    student = workshop.student(notebook("import torch", cell, REFERENCE), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"
    (note,) = [why for name, why in student.contract.notes if name == "definitions-only"]
    assert note.startswith("cell 2 of ")
    assert note.endswith("what is defined was taken without it")


def test_a_cell_is_run_after_the_one_that_sets_what_it_lacks(workshop: Workshop) -> None:
    cells = ("import torch", "factor = two / 2", "two = 2", REFERENCE)
    student = workshop.student(notebook(*cells), suffix=".ipynb")
    (note,) = [why for name, why in student.contract.notes if name == "definitions-only"]
    assert note.endswith("was run after cell 3, which sets two")


def test_cells_that_lack_each_other_are_run_twice_at_most(workshop: Workshop) -> None:
    student = workshop.student(notebook("a = b", "b = a", REFERENCE), suffix=".ipynb")
    (note,) = [why for name, why in student.contract.notes if name == "definitions-only"]
    assert "failed (NameError" in note


def test_what_is_graded_may_need_the_cell_that_fails(workshop: Workshop) -> None:
    cells = ("scale = 1 / 0", "def attention(query, key, value, mask=None):\n    return query * scale")
    with pytest.raises(SubmissionError, match="ZeroDivisionError") as caught:
        _ = workshop.student(notebook(*cells), suffix=".ipynb").description
    assert caught.value.where is not None
    assert caught.value.where.endswith("[cell 1]:1")


def test_the_rest_of_a_cell_that_fails_defines_what_it_defines(workshop: Workshop) -> None:
    student = workshop.student(notebook("import torch", "open('/no/such/file')\n" + REFERENCE), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"


def test_an_annotation_may_name_what_a_cell_could_not_import(workshop: Workshop) -> None:
    annotated = REFERENCE.replace("query,", "query: Rows[int],", 1)
    student = workshop.student(notebook("from a_library_of_types import Rows", annotated), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"
    used = workshop.student(
        notebook("from a_library_of_types import Rows", annotated.replace("def ", "@Rows\ndef ", 1)), suffix=".ipynb"
    )
    with pytest.raises(SubmissionError, match="imports 'a_library_of_types', which is not installed here"):
        _ = used.contract


@pytest.mark.slow
def test_an_endless_cell_before_the_definition_is_left_out(workshop: Workshop) -> None:
    cells = ("import torch", "while True:\n    pass", REFERENCE)
    student = workshop.student(notebook(*cells), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"
    assert "did not end" in dict(student.contract.notes)["definitions-only"]


def test_a_file_that_is_no_notebook(workshop: Workshop) -> None:
    student = workshop.student("def attention(): ...", suffix=".ipynb")
    with pytest.raises(SubmissionError, match="is not a notebook") as caught:
        _ = student.description
    assert caught.value.remedy == "Save it as a Jupyter notebook, version 4."


def test_cells_after_the_definition_are_not_run(workshop: Workshop) -> None:
    cells = ("import torch", REFERENCE, "while True: pass")
    student = workshop.student(notebook(*cells), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"


def test_a_later_cell_that_changes_the_definition_is_run(workshop: Workshop) -> None:
    cells = (REFERENCE, "x = 1", "attention.note = 1\nATTN_MASK = 'additive'", "raise ValueError")
    assert workshop.student(notebook(*cells), suffix=".ipynb").description.mask_convention == "additive"


@pytest.mark.parametrize(
    "later",
    ["import torch\nimport math", "def softmax(scores):\n    return scores.softmax(-1)", "scale = 0.125"],
    ids=["import", "helper", "constant"],
)
def test_a_later_cell_that_the_definition_uses_is_run(workshop: Workshop, later: str) -> None:
    definition = (
        "def attention(query, key, value, mask=None):\n"
        "    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))\n"
        "    weights = softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min)) * (scale / scale)\n"
        "    return weights @ value, weights"
    )
    others = ("import torch\nimport math", "def softmax(scores):\n    return scores.softmax(-1)", "scale = 0.125")
    before = [cell for cell in others if cell != later]
    student = workshop.student(notebook(*before, definition, "weights = 1 / 0", later), suffix=".ipynb")
    assert is_right(fit(student, student.contract, seed=0), 0)


def test_what_ipython_offers_is_there(workshop: Workshop) -> None:
    cells = (
        "display(1)\nget_ipython().run_line_magic('matplotlib', 'inline')",
        "import asyncio\nawait asyncio.sleep(0)",
    )
    student = workshop.student(notebook(*cells, REFERENCE), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"


def test_a_module_that_a_cell_writes_is_imported(workshop: Workshop) -> None:
    cells = (f"%%writefile layers.py\n{REFERENCE}", "from layers import attention")
    student = workshop.student(notebook(*cells), suffix=".ipynb")
    attention = fit(student, student.contract, seed=0)
    assert attention.contract.candidate.file is not None
    assert attention.contract.candidate.file.endswith(".ipynb[cell 1]")


def test_a_byte_order_mark_is_no_fault(workshop: Workshop) -> None:
    student = workshop.student("\ufeff" + notebook(REFERENCE), suffix=".ipynb")
    assert student.contract.candidate.name == "attention"
