from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.settings.options import DEFAULT_POINTS
from pytest_attn_grader.settings.settings import Settings


def test_as_json_shows_what_was_decided_and_no_path_of_this_machine(tmp_path: Path) -> None:
    settings = Settings(student="x", report=tmp_path / "r.json", invocation_dir=tmp_path, forbid=("sdpa",))
    shown = settings.as_json()
    assert str(tmp_path) not in repr(shown)
    assert shown["points"] == dict(DEFAULT_POINTS)
    assert (shown["student"], shown["layer_idx"], shown["forbid"]) == ("x", 0, ["sdpa"])
