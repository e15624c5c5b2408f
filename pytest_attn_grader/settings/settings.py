"""The settings of one run, in one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader.settings.options import DEFAULT_POINTS, DEFAULT_THRESHOLDS, PROMPT_EXAMPLE


@dataclass(frozen=True)
class IniFile:
    """The ini file that pytest found.

    Attributes:
        path: relative to where pytest was started; None when there is none.
        ignored: whether the file is ignored, because it is inside the submission's folder.
        ignored_options: the grader's options in an ignored file.
    """

    path: str | None
    ignored: bool = False
    ignored_options: tuple[str, ...] = ()


NO_INI_FILE = IniFile(None)
_NOT_SHOWN = {"report", "html", "plots", "formats", "progress", "seed", "invocation_dir", "ini"}
INI_FILE_KEY: pytest.StashKey[IniFile] = pytest.StashKey()


@dataclass(frozen=True)
class Settings:
    """Everything that the user decides about a run."""

    student: str
    model: str = "auto"
    layer_idx: int = 0
    all_layers: bool = False
    prompt: str = PROMPT_EXAMPLE
    device: str = "auto"
    report: Path | None = None
    html: Path | None = None
    plots: Path | None = None
    formats: tuple[tuple[str, Path], ...] = ()
    progress: Path | None = None
    budget_seconds: float = 90.0
    timeout_seconds: float = 10.0
    seed: int = 0
    sandbox: str = "auto"
    require_sandbox: str | None = None
    mask: str = "auto"
    hints: str = "explain"
    title: str | None = None
    catalogue: str | None = None
    points: Mapping[str, float] = field(default_factory=lambda: DEFAULT_POINTS)
    thresholds: Mapping[str, float] = field(default_factory=lambda: DEFAULT_THRESHOLDS)
    forbid: tuple[str, ...] = ()
    invocation_dir: Path = field(default_factory=Path.cwd)
    ini: IniFile = NO_INI_FILE

    @property
    def layers_in_words(self) -> str:
        """The layers that get the student's attention, in words."""
        return "all layers" if self.all_layers else f"layer {self.layer_idx}"

    def as_json(self) -> dict[str, Any]:
        """The settings as the report shows them, without paths that the user did not type."""
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _NOT_SHOWN}
        return shown | {
            "points": dict(self.points),
            "thresholds": dict(self.thresholds),
            "forbid": list(self.forbid),
            "ini_file": None if self.ini.ignored else self.ini.path,
            "ini_file_ignored": self.ini.path if self.ini.ignored else None,
        }
