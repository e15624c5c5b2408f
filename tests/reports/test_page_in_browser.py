"""The page in a real browser: it draws, can be used by mouse and by keyboard, and nothing from a submission runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.reports.html_page import write_page
from pytest_attn_grader.results.comparison import AttentionMap
from tests.reports.test_html_page import HOSTILE
from tests.support.pages import comparison, shown_report

pytestmark = pytest.mark.slow


class Opened:
    """A page that is open, and everything it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(shown_report(), path)
    return path


@pytest.fixture
def opened(browser: Any, file: Path) -> Opened:
    return Opened(browser, file)


def test_loads_without_a_complaint_and_asks_for_nothing(opened: Opened, file: Path) -> None:
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]
    assert opened.page.locator(".map table").count() == 3
    assert opened.text("#rows-title").startswith("Where “cat” looks")


def test_hover_and_focus_tell_the_values(opened: Opened) -> None:
    cell = '#map-student td[data-query="2"][data-key="0"]'
    opened.page.hover(cell)
    wanted = "sat → The: reference 0.10, yours 0.60, difference 0.50"
    assert opened.text("#reading") == wanted
    opened.page.focus('#map-student td[data-query="1"][data-key="0"]')
    assert opened.text("#reading").startswith("cat → The")
    opened.page.keyboard.press("ArrowDown")
    assert opened.text("#reading") == wanted
    opened.page.keyboard.press("Enter")
    assert opened.text("#rows-title").startswith("Where “sat” looks")


def test_a_query_that_is_clicked_shows_both_rows(opened: Opened) -> None:
    opened.page.click('#map-reference button[data-query="2"]')
    assert opened.text("#rows-title").startswith("Where “sat” looks")
    assert opened.page.locator("#rows .bar").count() == 6
    assert opened.page.locator("#rows .amount").all_inner_texts() == ["0.10", "0.60", "0.20", "0.20", "0.70", "0.20"]
    # Another row of the same map has kept the keyboard's place.
    assert opened.page.evaluate("document.activeElement.dataset.query") == "2"


def test_heads_and_layers_can_be_chosen(opened: Opened) -> None:
    assert opened.page.get_attribute("#metrics", "aria-label") == "Metrics of layer 0, head 1"
    opened.page.click("#heads button:first-child")
    assert opened.page.get_attribute("#metrics", "aria-label") == "Metrics of layer 0, head 0"
    opened.page.select_option("#layer", "1")
    assert opened.page.get_attribute("#metrics", "aria-label") == "Metrics of layer 1, head 0"
    assert opened.page.get_attribute("#heads button:first-child", "aria-pressed") == "true"


def test_every_control_has_a_name(opened: Opened) -> None:
    controls = opened.page.locator("button, select, summary, table, [role=meter], [role=img], [role=region]").all()
    assert len(controls) > 10
    for control in controls:
        name = control.get_attribute("aria-label") or control.inner_text() or control.evaluate("e => e.labels?.length")
        assert name, control.evaluate("e => e.outerHTML")


def test_an_injected_script_does_not_run(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    report = shown_report(target=HOSTILE, words=HOSTILE, tokens=(HOSTILE, " cat", " sat"))
    write_page(report, path)
    opened = Opened(browser, path)
    opened.page.hover('#map-student td[data-query="2"][data-key="0"]')
    assert opened.page.title().startswith("</script>"), "the name is shown as it was typed"
    assert opened.page.locator("img").count() == 0
    assert opened.complaints == []
    assert opened.requests == [path.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_follows_the_colour_scheme(browser: Any, file: Path, scheme: str) -> None:
    opened = Opened(browser, file, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = opened.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
    assert (brightness > 600) == (scheme == "light")


def test_a_bar_fills_its_track(opened: Opened) -> None:
    """Browsers disagree about the inside of a meter, so this one is our own."""
    sizes = opened.page.evaluate(
        """() => [...document.querySelectorAll(".bars .meter")].map((bar) => {
            const [track, fill] = [bar, bar.firstChild].map((each) => each.getBoundingClientRect());
            return [fill.width / track.width, fill.height / track.height, fill.top - track.top];
        })"""
    )
    assert [pytest.approx(size, abs=0.01) for size in sizes] == [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("width", [360, 1280])
def test_no_word_is_broken_in_a_table(browser: Any, file: Path, width: int) -> None:
    opened = Opened(browser, file, viewport={"width": width, "height": 740})
    heads = opened.page.locator(".plain thead th").all()
    assert len(heads) == 7
    for head in heads:
        assert (
            head.evaluate(
                "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length }"
            )
            == 1
        )


def test_prints(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_a_number_that_does_not_exist_is_a_dash(browser: Any, tmp_path: Path) -> None:
    broken = [["nan", 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    path = tmp_path / "page.html"
    write_page(shown_report(comparison(broken, residual_drift=(0.0, "nan", "nan"))), path)
    opened = Opened(browser, path)
    opened.page.hover('#map-difference td[data-query="0"][data-key="0"]')
    reading = opened.text("#reading")
    assert reading.startswith("The → The: reference 1.00, yours –, difference –")  # noqa: RUF001  # a dash, as in print
    assert "NaN" in reading
    assert opened.page.locator("#drift circle").count() == 1
    assert "no distance" in opened.text("#drift .note")
    assert opened.complaints == []


def test_a_long_prompt_is_readable(browser: Any, tmp_path: Path) -> None:
    size = 40
    rows = [[1 / (row + 1) if key <= row else 0.0 for key in range(size)] for row in range(size)]
    maps = tuple(AttentionMap(layer=0, head=head, reference=rows, student=rows) for head in range(2))
    path = tmp_path / "page.html"
    write_page(shown_report(comparison(layers=1, maps=maps), tokens=("word",) * size), path)
    opened = Opened(browser, path, viewport={"width": 1280, "height": 740})
    cell = opened.page.locator('#map-student td[data-query="5"][data-key="3"]').bounding_box()
    assert cell["width"] == pytest.approx(cell["height"], rel=0.3)
    assert opened.page.locator("#rows .row").count() == 16
    assert "16 strongest" in opened.text("#rows-title")
    assert opened.complaints == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_deep_model_is_readable(width: int, browser: Any, tmp_path: Path) -> None:
    """30 layers of 9 heads: every fourth layer has a label, and no two labels overlap."""
    path = tmp_path / "page.html"
    drift = tuple(layer / 40 for layer in range(31))
    write_page(shown_report(comparison(layers=30, heads=9, residual_drift=drift)), path)
    opened = Opened(browser, path, viewport={"width": width, "height": 740})
    assert opened.page.locator("#layer option").count() == 30
    assert opened.page.locator("#heads button").count() == 9
    assert opened.page.locator("#drift circle").count() == 31
    names = opened.page.locator("#drift text:not(.value)").all()
    assert [name.text_content() for name in names] == ["embed.", "3", "7", "11", "15", "19", "23", "output"]
    boxes = [name.bounding_box() for name in names]
    assert all(left["x"] + left["width"] <= right["x"] for left, right in itertools.pairwise(boxes))
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.complaints == []
