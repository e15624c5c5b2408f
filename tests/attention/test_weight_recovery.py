"""Weights recovered from outputs equal those of scaled dot-product attention."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.weight_recovery import recover_weights


@pytest.mark.parametrize("key_len", [1, 3, 8, 20])
def test_weights_are_those_that_made_the_output(key_len: int) -> None:
    """Also of more keys than head_dim, 8 here, for which several values are needed."""
    generator = torch.Generator().manual_seed(key_len)
    query = torch.randn(2, 3, 5, 8, generator=generator, dtype=torch.float64)
    key = torch.randn(2, 3, key_len, 8, generator=generator, dtype=torch.float64)
    calls = []

    def attend(value: torch.Tensor) -> torch.Tensor:
        calls.append(value)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)

    expected = (query @ key.mT / 8**0.5).softmax(dim=-1)
    torch.testing.assert_close(recover_weights(attend, key), expected)
    assert len(calls) == -(-key_len // 8)
    assert all(value.shape == key.shape and value.dtype == key.dtype for value in calls)
