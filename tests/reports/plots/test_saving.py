from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from pytest_attn_grader.reports.plots import (
    plot_drift,
    save_figure,
    write_plots,
)
from tests.support.pages import shown_report

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_a_report_s_pictures_are_written_in_both_formats(tmp_path: Path) -> None:
    written = write_plots(shown_report(), tmp_path / "new" / "plots")
    names = {"heads", "head", "next_tokens", "drift"}
    assert {path.name for path in written} == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(PNG_SIGNATURE)
        else:
            ET.parse(path)


def test_nothing_compared_nothing_drawn(tmp_path: Path) -> None:
    report = shown_report().model_copy(update={"comparison": None})
    assert write_plots(report, tmp_path) == ()


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        save_figure(plot_drift([0.0, 0.5], layer_idx=0, title="<script>alert(1)</script>"), tmp_path / name)
    one, two = (tmp_path / name for name in ("one.svg", "two.svg"))
    assert one.read_bytes() == two.read_bytes()
    assert b"<script" not in one.read_bytes()


def test_no_window_system_is_chosen() -> None:
    code = (
        "import sys, pytest_attn_grader.reports.plots; assert 'matplotlib.pyplot' not in sys.modules; "
        "assert not any('backend_tk' in name or 'backend_qt' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
