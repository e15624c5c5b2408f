"""The ini file that pytest found, and whether it is heeded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class IniFile:
    """The ini file that pytest found.

    Attributes:
        path: from where pytest was started; None when there is none.
        left_out: the grader's options in a file that is not heeded.
    """

    path: str | None
    heeded: bool
    left_out: tuple[str, ...] = ()


NO_INI_FILE = IniFile(None, heeded=True)
INI_FILE_KEY: pytest.StashKey[IniFile] = pytest.StashKey()
