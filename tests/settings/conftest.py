from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_attn_grader.settings.reading import read_settings
from pytest_attn_grader.settings.settings import Settings
from tests.settings.configs import ReadSettings, config_of


@pytest.fixture
def read(pytester: pytest.Pytester) -> ReadSettings:
    """Settings of a real pytest configuration: `read("--attn-model=mini", ini="...", environment={...})`."""

    def make(*args: str, ini: str = "", environment: Mapping[str, str] | None = None) -> Settings:
        settings = read_settings(config_of(pytester, *args, ini=ini), environment or {})
        assert settings is not None
        return settings

    return make
