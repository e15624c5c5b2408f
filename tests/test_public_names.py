"""The names that the package exports are there, and importing the package loads none of their modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pytest_attn_grader


@pytest.mark.parametrize("name", pytest_attn_grader.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(pytest_attn_grader, name) is not None


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, pytest_attn_grader; print([m for m in sys.modules if m.startswith('pytest_attn_grader.')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pytest_attn_grader.nothing  # noqa: B018
