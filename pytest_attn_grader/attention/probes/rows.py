"""The rows of an answer that count, and how far two answers are apart on them."""

from __future__ import annotations

import math

from torch import Tensor

from pytest_attn_grader.attention.probes.probe import Probe


def real_rows(tensor: Tensor, probe: Probe) -> Tensor:
    """The rows of `(batch, num_heads, query_len, n)` that are no padding, as `(rows, num_heads, n)`."""
    by_query = tensor.transpose(1, 2)
    # Without padding nothing is selected, and one long text is not copied.
    return by_query.flatten(0, 1) if bool(probe.real_rows.all()) else by_query[probe.real_rows]


def max_abs_error(student: Tensor, reference: Tensor, probe: Probe) -> float:
    """Largest absolute difference over the judged rows; infinite where shapes differ or the student's is not finite."""
    batch_size, query_len = probe.real_rows.shape
    if student.shape != reference.shape or student.dim() != 4 or student.shape[::2] != (batch_size, query_len):
        return float("inf")
    return max_abs(real_rows(student, probe).double() - real_rows(reference, probe))


def max_abs(numbers: Tensor) -> float:
    """The largest absolute value; NaN counts as infinite, and nothing at all as 0."""
    largest = float(numbers.abs().max()) if numbers.numel() else 0.0
    return math.inf if math.isnan(largest) else largest
