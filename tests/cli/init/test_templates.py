"""What `attn-grader init` and `attn-grader gradescope-zip` write for others, as texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_attn_grader.cli.init.templates import TEMPLATES

# A mirror or an internal index must do: an address in a script would be used past it.
INDEX = re.compile(r"index-url|find-links|pypi|download\.pytorch|anaconda", re.IGNORECASE)


@pytest.mark.parametrize(
    "template", sorted(path for path in TEMPLATES.rglob("*") if path.is_file()), ids=lambda p: p.name
)
def test_no_package_index_is_named(template: Path) -> None:
    assert not INDEX.search(template.read_text(encoding="utf-8"))
