"""Real configurations of pytest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_attn_grader.settings.settings import Settings

ReadSettings = Callable[..., Settings]


def config_of(pytester: pytest.Pytester, *args: str, ini: str = "") -> pytest.Config:
    pytester.makeini(f"[pytest]\n{ini}\n")
    return pytester.parseconfig(*args)
