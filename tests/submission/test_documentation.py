"""Four dimensions in docstrings, comments and annotations."""

from __future__ import annotations

import pytest

from pytest_attn_grader.submission.documentation import documents_four_dimensions


@pytest.mark.parametrize(
    "source",
    [
        'def attention(q, k, v):\n    """q: (batch, num_heads, seq, head_dim)."""\n',
        "def attention(q, k, v):\n    b, h, t, d = q.shape  # [B, H, T, D]\n",
        "# q, k and v are 4-D tensors\ndef attention(q, k, v):\n    pass\n",
        "def attention(q: 'Float[Tensor, (b, h, t, d)]', k, v):\n    pass\n",
        'class A:\n    def attention(self, q, k, v):\n        """q is a 4D tensor."""\n',
    ],
)
def test_said(source: str) -> None:
    assert documents_four_dimensions(source, "attention")


@pytest.mark.parametrize(
    "source",
    [
        'def attention(q, k, v):\n    """q: (seq, head_dim)."""\n',
        "def attention(q, k, v):\n    scores = call(b, h, t, d)\n",  # code says nothing about q
        'def other(q):\n    """(batch, heads, seq, dim)"""\n\n\n\n\ndef attention(q, k, v):\n    pass\n',
        "def attention(q, k, v:\n",  # does not parse
        "x = 1\n",
    ],
)
def test_not_said(source: str) -> None:
    assert not documents_four_dimensions(source, "attention")
