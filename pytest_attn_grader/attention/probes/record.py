"""The result of a probe, and the protocol of an attention that can run one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from pytest_attn_grader.attention.probes.probe import Probe
from pytest_attn_grader.results.submission import Failure


@dataclass(frozen=True)
class ProbeResult:
    """Result of one attention on one probe. When `failure` is set, it says why the other fields are empty.

    `changed` names inputs that are none of the probe's own tensors (hidden states) and were written into.
    """

    probe: str
    attn_output: Tensor | None = None
    attn_weights: Tensor | None = None
    weights_returned: bool = False
    output_requires_grad: bool | None = None
    gradients: Mapping[str, Tensor | None] = field(default_factory=dict)
    gradient_failure: Failure | None = None
    inputs_after: Mapping[str, Tensor] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: Failure | None = None


class Attention(Protocol):
    """Anything a probe can be put to: the reference, a student, a known mistake."""

    def run_probe(self, probe: Probe) -> ProbeResult:
        """Run the probe forward, and backward when it asks for gradients; never raises for the student's faults."""
        ...
