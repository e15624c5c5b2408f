from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_attn_grader.plugin.report_writer import write_views
from pytest_attn_grader.settings.settings import Settings
from tests.support.pages import shown_report


def config_of(drawn: bool | None = None) -> Any:
    """A configuration whose drawing hook answers this; its calls are kept."""
    calls: list[dict[str, Any]] = []

    def draw(**arguments: Any) -> bool | None:
        calls.append(arguments)
        return drawn

    return SimpleNamespace(hook=SimpleNamespace(pytest_attn_write_plots=draw), calls=calls)


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    config = config_of()
    assert write_views(shown_report(), config, Settings(student="x"))
    assert config.calls == []
    assert list(tmp_path.iterdir()) == []


def test_page_and_pictures(tmp_path: Path) -> None:
    settings = Settings(student="x", html=tmp_path / "page.html", plots=tmp_path / "plots")
    assert write_views(shown_report(), config_of(), settings)
    assert (tmp_path / "page.html").is_file()
    assert len(list((tmp_path / "plots").iterdir())) == 8


def test_a_module_elsewhere_may_draw_instead(tmp_path: Path) -> None:
    config, report = config_of(drawn=True), shown_report()
    assert write_views(report, config, Settings(student="x", plots=tmp_path / "plots"))
    assert config.calls == [{"config": config, "report": report, "folder": tmp_path / "plots"}]
    assert not (tmp_path / "plots").exists()


def test_a_disk_that_refuses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    settings = Settings(student="x", html=tmp_path / "taken" / "page.html")
    assert not write_views(shown_report(), config_of(), settings)
    assert "taken could not be written: File exists" in capsys.readouterr().err
