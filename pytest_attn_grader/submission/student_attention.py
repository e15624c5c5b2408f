"""`StudentAttention`: a submission of any kind as an attention on query, key and value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES, Attention, Probe, ProbeResult, ProbeSpec, build_probe
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.attention.weight_recovery import recover_weights
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.submission import Adaptation, Failure
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.return_values import require_shape, wrong_result
from pytest_attn_grader.submission.signatures import Notes

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student


NO_GROUPS = "its number of key/value heads cannot be chosen"
NO_CACHE = "it has no cache of keys and values"


@dataclass(frozen=True)
class CallMode:
    """The way in which one call is made.

    Attributes:
        watch_inputs: whether the inputs are looked at again after the call.
        chunks: how many tokens each of several calls gets, which pass a cache on; empty for one call.
    """

    training: bool = False
    dropout_p: float = 0.0
    seed: int | None = None
    watch_inputs: bool = False
    chunks: tuple[int, ...] = ()


USUAL = CallMode()


@dataclass(frozen=True)
class Attended:
    """The output and the weights of one call.

    Attributes:
        attn_weights: None where they are not returned.
        inputs_after, changed: see `ProbeResult`.
    """

    attn_output: Tensor
    attn_weights: Tensor | None
    seconds: float = 0.0
    changed: tuple[str, ...] = ()
    inputs_after: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StudentAttention(Attention):
    """A submission that is called like the reference; the defaults are those of a plain function.

    Attributes:
        rank: how many dimensions the tensors have that the student's code is called with.
        notes: on what was needed so that it could be called, beside those of the contract.
        in_causal_model: whether the graded model hides the future; an encoder does not.
    """

    student: Student
    contract: Contract
    rank: int = 3
    notes: Notes = ()
    in_causal_model: bool = True

    @property
    def adaptations(self) -> tuple[Adaptation, ...]:
        """All that was needed so that it could be called, for the report."""
        return tuple(Adaptation(name=name, why=why) for name, why in (*self.contract.notes, *self.notes))

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, mode: CallMode = USUAL) -> Attended:
        """One call; keys and values may have fewer heads where it takes groups."""
        ...

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run one forward pass, differentiable; weights only where they are returned.

        Args:
            query: ``(batch, num_heads, query_len, head_dim)``; key and value ``(batch, num_heads, key_len, head_dim)``.
            keep_mask: bool, broadcastable to ``(batch, num_heads, query_len, key_len)``, True = may attend.

        Raises:
            SubmissionError: the student's code failed, or what it returned has the wrong type, shape or dtype.
        """
        if keep_mask is None:
            keep_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)[None, None]
        answer = self.attend(query, key, value, keep_mask)
        require_shape("attn_output", answer.attn_output, tuple(query.shape))
        if answer.attn_output.dtype != query.dtype:
            raise wrong_result(
                f"attn_output is {answer.attn_output.dtype}, the query {query.dtype}", "Return it in the query's dtype."
            )
        if answer.attn_weights is None:
            return answer.attn_output
        require_shape("attn_weights", answer.attn_weights, (*query.shape[:-1], key.shape[-2]))
        return answer.attn_output, answer.attn_weights

    def run_probe(self, probe: Probe) -> ProbeResult:
        """Run forward and, when the probe has an upstream gradient, backward; never raises for the student's faults."""
        try:
            return self._run_probe(probe)
        except SubmissionError as error:
            return ProbeResult(probe=probe.name, failure=Failure.from_error(error))

    def _run_probe(self, probe: Probe) -> ProbeResult:
        upstream = None if probe.chunks else probe.upstream
        wanted = upstream is not None
        leaves = {name: tensor.detach().clone().requires_grad_(wanted) for name, tensor in probe.inputs.items()}
        shared = probe.group_size if self.takes_groups else 1
        key, value = (leaves[name][:, ::shared] for name in ("key", "value"))
        mode = CallMode(probe.training, probe.dropout_p, probe.seed, watch_inputs=True, chunks=probe.chunks)
        with torch.set_grad_enabled(wanted):
            answer = self.attend(leaves["query"], key, value, probe.keep_mask, mode)
        attn_output, attn_weights = answer.attn_output, answer.attn_weights
        # Before any further call: a module with a cache writes into what this backward pass needs.
        gradients, gradient_failure = _vector_jacobian_products(attn_output, upstream, leaves)
        if attn_weights is None and not probe.chunks and attn_output.shape == probe.query.shape:
            unwatched = replace(mode, watch_inputs=False)

            def attend(value: Tensor) -> Tensor:
                output = self.attend(probe.query, key.detach(), value, probe.keep_mask, unwatched).attn_output
                require_shape("attn_output", output, tuple(attn_output.shape))
                return output

            with torch.no_grad():
                attn_weights = recover_weights(attend, key.detach())
        return ProbeResult(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=None if attn_weights is None else attn_weights.detach(),
            weights_returned=answer.attn_weights is not None,
            output_requires_grad=attn_output.requires_grad if wanted else None,
            gradients=gradients,
            gradient_failure=gradient_failure,
            inputs_after=answer.inputs_after,
            changed=answer.changed,
            seconds=answer.seconds,
        )

    def restarted(self, *, seconds: float | None = None) -> StudentAttention:
        """The same submission, imported again in a new process: nothing of earlier calls is left in it.

        Its `student` is to be closed.
        """
        return replace(self, student=self.student.restart(run_seconds=seconds))

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads than queries, each for as many query heads side by side."""
        return False

    @property
    def rotary_base(self) -> float | None:
        """Base of the model's rotary positions, where it has to rotate query and key itself; None elsewhere."""
        return None

    @property
    def preparation(self) -> Preparation | None:
        """The steps before the scores that it takes itself, where it normalises query and key; None otherwise."""
        return None

    @property
    def sliding_window(self) -> int | None:
        """Window of the graded layer: how many keys, its own included, a query sees; None for all of the past."""
        return None

    @property
    def masks_padding_only(self) -> bool:
        """Whether its mask has one row for all queries, (batch, key), in which no future can be hidden."""
        return False

    @property
    def is_bidirectional(self) -> bool:
        """Whether every token attends to every other: in a model that hides no future, without a mask or with padding.

        A mask with a row for each query may hide the future in any model: it is asked to.
        """
        without_future = not self.contract.takes_mask or self.masks_padding_only
        return without_future and not self.in_causal_model

    def make_probe(self, spec: ProbeSpec, *, seed: int) -> Probe:
        """A probe with the mask that it can be given in the graded model, as `prepare` leaves it."""
        if self.is_bidirectional and not self.contract.takes_mask:
            spec = replace(spec, padding="none")
        return self.prepare(build_probe(spec, seed=seed, is_bidirectional=self.is_bidirectional))

    def prepare(self, probe: Probe) -> Probe:
        """The probe as the graded layer asks: with its preparation of query and key, and its window."""
        return probe.with_preparation(self.preparation).with_sliding_window(self.sliding_window)

    @property
    def keeps_cache(self) -> bool:
        """Whether a model can ask it about one new token at a time."""
        return True

    @property
    def takes_dropout(self) -> bool:
        """Whether it can be given a probability of dropout."""
        return self.contract.takes_dropout

    def why_weights_unavailable(self, num_heads: int, head_dim: int, tokens: int) -> str | None:
        """Why its weights on a text of so many tokens can neither be returned nor recovered; None when they can."""
        return None

    def unsupported_reason(self, probe: Probe) -> str | None:
        """Why this probe cannot be run with this submission; None when it can."""
        if probe.chunks:
            return NO_CACHE
        return NO_GROUPS if probe.group_size > 1 and not self.takes_groups else None

    def for_layer(self, model: Any, layer_idx: int) -> Any:
        """The replacement of a layer's attention: the function itself, or a block with the layer's projections."""
        return self

    def layer_restriction(self, model: Any, layer_idx: int) -> str | None:
        """The parts of this layer that it cannot hold. The reference omits them too."""
        return None

    def reference_as_layer(self, model: Any, layer_idx: int) -> Any:
        """The reference through the same adapter; None where the model's own attention serves."""
        return None


def _vector_jacobian_products(
    attn_output: Tensor, upstream: Tensor | None, leaves: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor | None], Failure | None]:
    """Gradients by name of the leaf; a backward pass that fails takes nothing from the forward pass."""
    if upstream is None:
        return {}, None
    if not attn_output.requires_grad or attn_output.shape != upstream.shape:
        return dict.fromkeys(INPUT_NAMES), None
    try:
        found = torch.autograd.grad(attn_output, tuple(leaves.values()), upstream.to(attn_output), allow_unused=True)
    except SubmissionError as error:
        return dict.fromkeys(INPUT_NAMES), Failure.from_error(error)
    return dict(zip(leaves, found, strict=True)), None
