from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_attn_grader.grading.concurrency import MIN_PARAMETERS, run_with_both

INPUT_IDS = torch.tensor([[3, 4]])


def model(parameters: int, device: str = "cpu") -> SimpleNamespace:
    return SimpleNamespace(device=torch.device(device), num_parameters=lambda: parameters)


@pytest.mark.parametrize(
    ("given", "apart"),
    [
        (model(MIN_PARAMETERS), True),
        (model(MIN_PARAMETERS - 1), False),
        (model(MIN_PARAMETERS, "meta"), False),
    ],
)
def test_the_reference_of_a_large_model_has_a_thread_of_its_own(given: SimpleNamespace, apart: bool) -> None:
    reference, student = run_with_both("", lambda model, ids: threading.get_ident(), given, given, INPUT_IDS)
    assert student == threading.get_ident()
    assert (reference != student) is apart


@pytest.mark.parametrize("parameters", [0, MIN_PARAMETERS])
def test_what_the_student_raises_comes_through_when_the_reference_has_ended(parameters: int) -> None:
    done: list[str] = []

    def ask(name: Any, input_ids: torch.Tensor) -> None:
        if name == "student":
            raise ValueError("no answer")
        done.append("reference")

    with pytest.raises(ValueError, match="no answer"):
        run_with_both("", ask, model(parameters), "student", INPUT_IDS)
    assert done == ["reference"]
