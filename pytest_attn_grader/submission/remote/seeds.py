"""Derive a worker's seed from a probe's. Standard library only."""

from __future__ import annotations

import hashlib
from functools import cache


@cache
def worker_seed(seed: int) -> int:
    """Derive the seed of the worker's random numbers: from it, the inputs of a probe cannot be drawn again.

    Slow on purpose (milliseconds), so that `seed` is not found by trying all of them.
    """
    derived = hashlib.pbkdf2_hmac("sha256", str(seed).encode(), b"pytest-attn-grader worker", 10_000, 8)
    return int.from_bytes(derived, "big") >> 1
