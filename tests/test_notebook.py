"""The students' notebook, executed by a real kernel with right and with wrong solutions, and the cell magic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.init.templates import TEMPLATES

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook" / "attention.ipynb"
SOLUTIONS = {
    1: ("return query @ key.transpose(-2, -1)", "return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])"),
    2: ("return scores", 'return scores.masked_fill(~mask, float("-inf"))'),
    3: ("weights = scores", "weights = torch.softmax(scores, -1)"),
}


def execute(notebook: Any, folder: Path) -> Any:
    client = nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def read_and_solve(*todos: int) -> Any:
    """The notebook with some of its three TODOs done."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for number in todos:
        before, after = SOLUTIONS[number]
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and f"TODO {number}" in cell.source]
        assert len(cells) == 1
        assert before in cells[0].source
        cells[0].source = cells[0].source.replace(before, after)
    return notebook


def shown(notebook: Any) -> dict[str, str]:
    """What the last cell with an output shows, by kind."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return dict([output for output in outputs if "data" in output][-1].data)


def test_the_one_that_init_writes_is_the_example() -> None:
    assert (TEMPLATES / "notebook" / "attention.ipynb").read_bytes() == NOTEBOOK.read_bytes()


def test_all_done_passes(tmp_path: Path) -> None:
    page = shown(execute(read_and_solve(1, 2, 3), tmp_path))
    assert ">Passed<" in page["text/html"]
    assert page["text/plain"].splitlines()[-1].startswith("PASSED")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("todos", "words"),
    [((2, 3), "square root"), ((1, 3), "future"), ((), "Not yet")],
    ids=["no scale", "no mask", "nothing"],
)
def test_what_is_missing_is_named(todos: tuple[int, ...], words: str, tmp_path: Path) -> None:
    page = shown(execute(read_and_solve(*todos), tmp_path))
    assert ">Not yet<" in page["text/html"]
    assert words in page["text/html"]


def test_the_cell_magic_grades_what_the_cell_defines(tmp_path: Path) -> None:
    right = (
        "%%attn_grade model=mini\n"
        "import torch\n"
        "def attention(query, key, value, mask=None):\n"
        "    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5\n"
        "    if mask is not None:\n"
        "        scores = scores.masked_fill(~mask, float('-inf'))\n"
        "    return torch.softmax(scores, -1) @ value\n"
    )
    cells = ["%load_ext pytest_attn_grader", right, "%%attn_grade model=mini\nnumber = 7\n"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    execute(notebook, tmp_path)
    assert ">Passed<" in shown(notebook)["text/html"]
    (error,) = [output for output in notebook.cells[-1].outputs if output.output_type == "error"]
    assert error.ename == "UsageError"
