"""The students' notebook in a real JupyterLab: the graded cell looks as it should, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.jupyterlab import choose_theme, run_all_cells, run_server

nbformat = pytest.importorskip("nbformat")
if find_spec("jupyterlab") is None:
    pytest.skip("needs JupyterLab (pip install jupyterlab)", allow_module_level=True)

from tests.test_notebook import read_and_solve  # noqa: E402  # needs nbformat

pytestmark = pytest.mark.slow
NONSENSE = "def attention(query, key, value, mask=None):\n    return 'I have no idea'\n"
# How far text reaches beyond its cell, the colour of stripes behind the rows, and what else the cell shows.
LAYOUT = """report => ({
    overflowing: [...report.querySelectorAll("td")].filter(cell => cell.scrollWidth > cell.clientWidth + 1).length,
    stripes: [...report.querySelectorAll("tr")].filter(
        row => getComputedStyle(row).backgroundColor !== "rgba(0, 0, 0, 0)").length,
    wide: report.scrollWidth > report.clientWidth + 1,
    ink: getComputedStyle(report).color,
    other: [...report.closest(".jp-OutputArea").querySelectorAll("[data-mime-type*=stderr], [data-mime-type*=error]")]
        .map(each => each.innerText),
})"""


class Lab:
    """A running JupyterLab, its notebooks' folder, and the browser."""

    def __init__(self, browser: Any, address: str, folder: Path, home: Path) -> None:
        self.browser, self.address, self.folder, self.home = browser, address, folder, home

    def grade(self, notebook: Any, name: str, theme: str) -> Any:
        """The report below the last cell, once the notebook has run; a screenshot is beside the notebook."""
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        choose_theme(self.home, theme)
        page = self.browser.new_context(viewport={"width": 1400, "height": 1100}).new_page()
        run_all_cells(page, self.address.format(notebook=f"{name}.ipynb"))
        report = page.locator(".attn-report")
        report.wait_for(timeout=30_000)
        report.scroll_into_view_if_needed()
        page.screenshot(path=self.folder / f"{name}.png")
        return report


@pytest.fixture(scope="module")
def lab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")
    with run_server(folder, home) as address:
        yield Lab(browser, address, folder, home)


@pytest.mark.parametrize(
    ("solved", "theme", "words", "maps"),
    [
        ((1, 2, 3), "light", ["Passed: 100 of 100 points", "No head differs."], 3),
        ((2, 3), "dark", ["Not yet", "does not divide the scores by the square root of head_dim", "Hint."], 3),
        ((), "light", ["Not yet", "without a softmax"], 3),
        (None, "light", ["Not yet", "I have no idea", "not a tensor"], 0),
    ],
    ids=["right", "no-scale", "as-it-comes", "nonsense"],
)
def test_graded_cell(
    solved: tuple[int, ...] | None, theme: str, words: list[str], maps: int, lab: Lab, request: pytest.FixtureRequest
) -> None:
    notebook = read_and_solve(*(solved if solved is not None else (1, 2, 3)))
    if solved is None:
        notebook.cells.insert(-1, nbformat.v4.new_code_cell(NONSENSE))
    report = lab.grade(notebook, request.node.callspec.id, theme)
    text = report.inner_text()
    assert [each for each in words if each not in text] == [], text
    assert report.locator("table.attn-map").count() == maps
    layout = report.evaluate(LAYOUT)
    is_dark_ink = layout.pop("ink") == "rgb(28, 36, 48)"
    assert is_dark_ink == (theme == "light")
    assert layout == {"overflowing": 0, "stripes": 0, "wide": False, "other": []}
    report.locator("summary").click()
    whole = report.frame_locator("iframe")
    whole.locator("h1").wait_for(timeout=30_000)
    report.page.screenshot(path=lab.folder / f"{request.node.callspec.id}-whole.png")
