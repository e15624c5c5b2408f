"""One probe put to the student, with the yardstick beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, ProbeResult, max_abs, max_abs_error, real_rows
from pytest_attn_grader.attention.tolerances import FACTOR, ProbeTolerance, derive_tolerance
from pytest_attn_grader.results.report import Tolerance


@dataclass(frozen=True)
class Observation:
    """What the student did with a probe; the reference and the tolerances are worked out when first asked for."""

    probe: Probe
    student: ProbeResult

    @cached_property
    def _reference_and_tolerance(self) -> tuple[ProbeResult, ProbeTolerance]:
        return derive_tolerance(self.probe)

    @property
    def reference(self) -> ProbeResult:
        """The float64 reference on the same inputs."""
        return self._reference_and_tolerance[0]

    @property
    def tolerance(self) -> ProbeTolerance:
        return self._reference_and_tolerance[1]

    @property
    def tolerance_was_used(self) -> bool:
        """Whether a tolerance was asked for, so that the report lists only those that were used."""
        return "_reference_and_tolerance" in self.__dict__

    def as_tolerance(self) -> Tolerance:
        """What the report says about the tolerances of this probe."""
        known = self.tolerance
        return Tolerance(
            probe=known.probe,
            dtype=known.dtype,
            device=known.device,
            factor=FACTOR,
            spread=dict(known.spread),
            tolerance=dict(known.tolerance),
        )

    @property
    def attn_output(self) -> Tensor:
        """The student's whole output, `(batch, num_heads, query_len, head_dim)` if it is right."""
        return _there(self.student.attn_output)

    @property
    def attn_weights(self) -> Tensor:
        """The student's whole weights, `(batch, num_heads, query_len, key_len)` if they are right."""
        return _there(self.student.attn_weights)

    def gradient(self, name: str) -> Tensor:
        """The student's gradient of query, key or value."""
        return _there(self.student.gradients.get(name))

    def reference_gradient(self, name: str) -> Tensor:
        """The reference's, in float64."""
        return _there(self.reference.gradients.get(name))

    @property
    def student_output(self) -> Tensor:
        """The judged rows of the output, `(rows, num_heads, head_dim)`."""
        return real_rows(self.attn_output, self.probe)

    @property
    def student_weights(self) -> Tensor:
        """The judged rows of the weights, `(rows, num_heads, key_len)`."""
        return real_rows(self.attn_weights, self.probe)

    @property
    def output_error(self) -> float:
        return max_abs_error(self.attn_output, _there(self.reference.attn_output), self.probe)

    @property
    def weights_error(self) -> float:
        return max_abs_error(self.attn_weights, _there(self.reference.attn_weights), self.probe)

    def error_between(self, one: Tensor, other: Tensor, *, since: int = 0, until: int | None = None) -> float:
        """Largest difference between two outputs on the judged rows: tokens from `since` on, those before `until`."""
        rows = torch.zeros_like(self.probe.real_rows)
        rows[:, since:until] = self.probe.real_rows[:, since:until]
        return max_abs_error(one, other, replace(self.probe, real_rows=rows))

    def largest_weight_where(self, mask: Tensor) -> float:
        """Largest absolute weight where the mask `(batch, 1, query_len, key_len)` is True, on judged rows."""
        rows = self.probe.real_rows[:, None, :, None]
        return max_abs(self.attn_weights[(mask & rows).expand_as(self.attn_weights)])

    @property
    def changed_inputs(self) -> list[str]:
        """Names of the inputs that are no longer what was handed over."""
        before = {**self.probe.inputs, "keep_mask": self.probe.keep_mask}
        after = self.student.inputs_after
        return [*self.student.changed] + [
            "mask" if name == "keep_mask" else name
            for name, tensor in before.items()
            if name in after and not torch.equal(tensor, after[name])
        ]


def _there(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ValueError("the record holds no such tensor: ask for its failure first")
    return tensor
