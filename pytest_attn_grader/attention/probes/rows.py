"""The rows of an answer that count, and how far two answers are apart on them."""

from __future__ import annotations

from torch import Tensor

from pytest_attn_grader.attention.probes.probe import Probe


def real_rows(tensor: Tensor, probe: Probe) -> Tensor:
    """The rows of `(batch, num_heads, query_len, n)` that are no padding, as `(rows, num_heads, n)`."""
    return tensor.transpose(1, 2)[probe.real_rows]


def max_abs_error(student: Tensor, reference: Tensor, probe: Probe) -> float:
    """Largest absolute difference over the judged rows; infinite where shapes differ or the student's is not finite."""
    batch_size, query_len = probe.real_rows.shape
    if student.shape != reference.shape or student.dim() != 4 or student.shape[::2] != (batch_size, query_len):
        return float("inf")
    return max_abs(real_rows(student, probe).double() - real_rows(reference, probe).double())


def max_abs(numbers: Tensor) -> float:
    """The largest absolute value; NaN counts as infinite, and nothing at all as 0."""
    # Without posinf, nan_to_num makes the largest finite number of infinity.
    sizes = numbers.double().abs().nan_to_num(nan=float("inf"), posinf=float("inf"))
    return float(sizes.max()) if sizes.numel() else 0.0
