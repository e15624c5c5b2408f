"""Four dimensions, and a batch that comes first, in docstrings, comments and annotations."""

from __future__ import annotations

import pytest

from pytest_attn_grader.submission.documentation import documents_batch_first, documents_four_dimensions


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


@pytest.mark.parametrize(
    "source",
    [
        'class Attention:\n    """x: (batch, seq, d_model)"""\n',
        "class Attention:\n    def forward(self, x):\n        B, T, C = x.shape\n",
        "class Attention:\n    def forward(self, x):\n        batch_size, seq_len, _ = x.size()\n",
        "class Attention:\n    def forward(self, x):  # x is [B, T, C]\n        pass\n",
    ],
)
def test_batch_first(source: str) -> None:
    assert documents_batch_first(source, "Attention")


@pytest.mark.parametrize(
    "source",
    [
        'class Attention:\n    """x: (seq, batch, d_model)"""\n    def forward(self, x):\n        B, T, C = x.shape\n',
        "class Attention:\n    def forward(self, x):\n        T, B, C = x.shape\n",
        "class Attention:\n    def forward(self, x):\n        q = x.view(B, T, H)\n",
        'class Attention:\n    """q: (batch, heads, seq, head_dim)"""\n',
        "class Other:\n    def forward(self, x):\n        B, T, C = x.shape\n",
    ],
)
def test_not_batch_first(source: str) -> None:
    assert not documents_batch_first(source, "Attention")
