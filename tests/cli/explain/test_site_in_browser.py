"""The site in a real browser: the search box finds, links lead on, a page fits a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.cli.explain.site import write_site
from pytest_attn_grader.misconceptions import MISCONCEPTIONS
from tests.cli.explain.test_site import MEASURED
from tests.reports.test_page_in_browser import Opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    list(write_site(out, {mistake.slug: MEASURED for mistake in MISCONCEPTIONS}, model="mini"))
    return out


def test_the_search_box_finds_by_id_and_by_words(browser: Any, site: Path) -> None:
    opened = Opened(browser, site / "index.html")
    shown = opened.page.locator("[data-search]:visible")
    assert shown.count() == len(MISCONCEPTIONS)
    opened.page.fill("#search", "AG102")
    assert shown.count() == 1
    assert opened.text("#found") == f"1 of {len(MISCONCEPTIONS)}"
    opened.page.fill("#search", "softmax rows")
    assert 0 < shown.count() < len(MISCONCEPTIONS)
    opened.page.fill("#search", "")
    assert shown.count() == len(MISCONCEPTIONS)
    assert opened.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_a_mistake_fits_a_phone(browser: Any, site: Path, scheme: str) -> None:
    opened = Opened(browser, site / "scale-dk.html", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.page.click("text=Mistakes in attention")
    assert opened.page.url.endswith("index.html")
    assert opened.complaints == []
