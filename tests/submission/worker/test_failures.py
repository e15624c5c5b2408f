"""What a worker says about an exception: the remedy leads to the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from pytest_attn_grader.submission.worker.failures import describe_failure


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


def raise_unfinished() -> None:
    raise NotImplementedError


def raise_from_torch() -> None:
    torch.nn.Module()(1)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(raise_unfinished, "Write the part that is still to be done."), (raise_from_torch, "")],
)
def test_what_the_submission_has_not_written_and_what_pytorch_has_not(
    tmp_path: Path, code: Callable[[], None], remedy: str
) -> None:
    with pytest.raises(NotImplementedError) as caught:
        code()
    assert describe_failure(caught.value, tmp_path, importing=False)["remedy"] == remedy


@pytest.mark.parametrize(
    "code",
    [
        lambda array: array.masked_fill(array > 0, 0),
        lambda array: array @ torch.ones(3),
        lambda array: torch.softmax(array, -1),
        lambda array: torch.ones(3, requires_grad=True).numpy() + array,
    ],
    ids=["a tensor's method", "a product", "an argument", "with a gradient"],
)
def test_what_numpy_and_pytorch_cannot_do_together(tmp_path: Path, code: Callable[[object], object]) -> None:
    with pytest.raises((AttributeError, TypeError, RuntimeError)) as caught:
        code(numpy.ones(3))
    assert "Use torch where it calls numpy" in describe_failure(caught.value, tmp_path, importing=False)["remedy"]
