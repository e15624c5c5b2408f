"""What a worker says about an exception: the remedy leads to the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.sandbox.worker.failures import describe_failure


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("math", "Write 'import math' at the top of the file."),
        ("itertools", "Write 'import itertools' at the top of the file."),
        ("F", "Write 'import torch.nn.functional as F' at the top of the file."),
        ("nn", "Write 'from torch import nn' at the top of the file."),
        ("quary", "Define 'quary' or import it. Did you mean 'query'?"),
        ("softly", "Define 'softly' or import it."),
    ],
)
def test_a_name_that_is_not_there(tmp_path: Path, name: str, remedy: str) -> None:
    error = NameError(f"name {name!r} is not defined", name=name)
    assert describe_failure(error, tmp_path, importing=False)["remedy"] == remedy
