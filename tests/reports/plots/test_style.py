from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.reports.plots.style import as_map, token_label


@pytest.mark.parametrize(
    ("token", "label"), [(" cat", "cat"), (" ", " "), ("\n", r"\x0a"), ("$x$", r"\$x\$"), ("é", "é")]
)
def test_token_labels(token: str, label: str) -> None:
    assert token_label(token) == label


def test_maps_of_any_kind() -> None:
    assert as_map(torch.ones(1, 2)).tolist() == as_map([[1, 1.0]]).tolist() == [[1.0, 1.0]]
