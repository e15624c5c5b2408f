"""What an import changes for the whole process is undone and told."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.submission.worker.global_state import DTYPE, GRADIENTS, SEED, THREADS, restored


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda: torch.set_grad_enabled(False), GRADIENTS),
        (lambda: torch.set_default_dtype(torch.float64), DTYPE),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), THREADS),
        (lambda: torch.manual_seed(1234), SEED),
    ],
)
def test_a_change_is_told_and_undone(change: object, name: str) -> None:
    assert callable(change)
    before = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
    seed, changed = torch.initial_seed(), list[str]()
    with restored(changed):
        change()
    assert changed == [name]
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()) == before
    torch.manual_seed(seed)


def test_what_changes_nothing_is_not_mentioned() -> None:
    changed: list[str] = []
    with restored(changed), torch.no_grad():
        torch.randn(3)
    assert changed == []


def test_an_import_that_fails_is_undone_too() -> None:
    changed: list[str] = []

    def fail() -> None:
        torch.set_grad_enabled(False)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), restored(changed):
        fail()
    assert changed == [GRADIENTS]
    assert torch.is_grad_enabled()
