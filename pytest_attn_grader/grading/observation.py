"""The student's result of one probe, compared with the reference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn_grader._utils.lazy import Lazy
from pytest_attn_grader.attention.probes import Probe, ProbeResult, max_abs, max_abs_error, real_rows
from pytest_attn_grader.attention.tolerances import FACTOR, ProbeTolerance, derive_tolerance
from pytest_attn_grader.results.report import Tolerance


@dataclass(frozen=True, eq=False)
class Observation:
    """The student's result on a probe; reference and tolerances are computed when they are first needed."""

    probe: Probe
    student: ProbeResult
    _derived: Lazy[tuple[ProbeResult, ProbeTolerance]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_derived", Lazy(lambda: derive_tolerance(self.probe)))

    @property
    def reference(self) -> ProbeResult:
        """The float64 reference on the same inputs."""
        return self._derived.get()[0]

    @property
    def tolerance(self) -> ProbeTolerance:
        """The largest distance of a right answer from the reference."""
        return self._derived.get()[1]

    @property
    def tolerance_was_used(self) -> bool:
        """Whether a check has used the tolerances: the report lists only those."""
        return self._derived.peek() is not None

    def as_tolerance(self) -> Tolerance:
        """The tolerances of this probe, for the report."""
        tolerance = self.tolerance
        return Tolerance(
            probe=tolerance.probe,
            dtype=tolerance.dtype,
            factor=FACTOR,
            spread=dict(tolerance.spread),
            tolerance=dict(tolerance.tolerance),
        )

    @property
    def attn_output(self) -> Tensor:
        """The student's whole output, `(batch, num_heads, query_len, head_dim)` if it is right."""
        return _require_tensor(self.student.attn_output)

    @property
    def attn_weights(self) -> Tensor:
        """The student's whole weights, `(batch, num_heads, query_len, key_len)` if they are right."""
        return _require_tensor(self.student.attn_weights)

    def gradient(self, name: str) -> Tensor:
        """The student's gradient of query, key or value."""
        return _require_tensor(self.student.gradients.get(name))

    def reference_gradient(self, name: str) -> Tensor:
        """The reference's, in float64."""
        return _require_tensor(self.reference.gradients.get(name))

    @property
    def student_output(self) -> Tensor:
        """The real rows of the output, `(rows, num_heads, head_dim)`."""
        return real_rows(self.attn_output, self.probe)

    @property
    def student_weights(self) -> Tensor:
        """The real rows of the weights, `(rows, num_heads, key_len)`."""
        return real_rows(self.attn_weights, self.probe)

    @cached_property
    def output_error(self) -> float:
        """Largest difference from the reference on the real rows; it is asked for after every check."""
        return max_abs_error(self.attn_output, _require_tensor(self.reference.attn_output), self.probe)

    @property
    def is_right(self) -> bool:
        """Whether there is an output and it is the reference's."""
        has_output = self.student.attn_output is not None
        return has_output and self.output_error <= self.tolerance.tolerance["attn_output"]

    @property
    def weights_error(self) -> float:
        return max_abs_error(self.attn_weights, _require_tensor(self.reference.attn_weights), self.probe)

    def error_between(self, one: Tensor, other: Tensor, *, since: int = 0, until: int | None = None) -> float:
        """Largest difference between two outputs on the real rows: tokens from `since` on, those before `until`."""
        rows = torch.zeros_like(self.probe.real_rows)
        rows[:, since:until] = self.probe.real_rows[:, since:until]
        return max_abs_error(one, other, replace(self.probe, real_rows=rows))

    def largest_weight_where(self, mask: Tensor) -> float:
        """Largest absolute weight where the mask `(batch, 1, query_len, key_len)` is True, on real rows."""
        rows = self.probe.real_rows[:, None, :, None]
        return max_abs(self.attn_weights[(mask & rows).expand_as(self.attn_weights)])

    @property
    def changed_inputs(self) -> list[str]:
        """Names of the inputs that differ from what was passed."""
        before = {**self.probe.inputs, "keep_mask": self.probe.keep_mask}
        after = self.student.inputs_after
        return [*self.student.changed] + [
            "mask" if name == "keep_mask" else name
            for name, tensor in before.items()
            if name in after and not torch.equal(tensor, after[name])
        ]


def _require_tensor(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ValueError("the probe result has no such tensor: check its failure first")
    return tensor
