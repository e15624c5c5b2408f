"""Make a student's function fit: its own order of arguments, its own mask and rank, weights that it keeps to itself.

Every adaptation is listed in the report; adapting is not a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import (
    INPUT_NAMES,
    Probe,
    ProbeResult,
)
from pytest_attn_grader.attention.weight_recovery import recover_weights
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.submission import Adaptation, Failure
from pytest_attn_grader.submission.constructor import Sizes, layer_object
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.head_layouts import HEADS_FIRST, SIDE_BY_SIDE, heads_first, lay_out
from pytest_attn_grader.submission.masks import (
    PADDING,
    PER_HEAD,
    to_mask_convention,
    to_mask_shape,
)
from pytest_attn_grader.submission.remote.arguments import LayerObject, LiteralArgument, TensorRef
from pytest_attn_grader.submission.remote.messages import CallReply, CallSpec
from pytest_attn_grader.submission.return_values import (
    output_name,
    parse_result,
    require_shape,
    wrong_result,
)
from pytest_attn_grader.submission.student_attention import StudentAttention

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

RANKS = (4, 3, 2)
# A head of an example at a time, with all four dimensions and a mask of two.
SINGLE_RANK = 1
# Of a function that works block by block: short enough that the longer probes have several blocks and a part of one.
BLOCK_TOKENS = 16
# A factor on the scores that is not 1/sqrt(head_dim) for any probe.
OTHER_SCALE = 0.25
SWITCHES = {"causal": LiteralArgument(True), "off": LiteralArgument(False), "none": LiteralArgument(None)}


@dataclass(frozen=True)
class FunctionAttention(StudentAttention):
    """The submission as an attention function on four-dimensional tensors, run in its worker.

    Called like the reference, `(query, key, value, keep_mask)`, it is differentiable and raises `SubmissionError`;
    `run_probe` puts a probe to it and never raises for the student's faults.

    Attributes:
        mask_shape: of its masks, one of `MASK_SHAPES`; with a padding mask it is causal by itself.
        layout: of query, key and value, one of `HEAD_LAYOUTS`; output_layout likewise.
    """

    student: Student
    contract: Contract
    rank: int
    adaptations: tuple[Adaptation, ...] = ()
    mask_shape: str = PER_HEAD
    in_causal_model: bool = True
    layout: str = HEADS_FIRST
    output_layout: str = HEADS_FIRST

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run one forward pass; see `StudentAttention`."""
        if keep_mask is None:
            keep_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)[None, None]
        spec = self._spec(head_dim=query.shape[-1], heads=(query.shape[1], key.shape[1]))
        reply = self.student.call(spec, self._tensors(query, key, value, keep_mask))
        attn_output, attn_weights = self._parse(reply, query, key)
        require_shape("attn_output", attn_output, tuple(query.shape))
        if attn_output.dtype != query.dtype:
            raise wrong_result(
                f"attn_output is {attn_output.dtype}, the query {query.dtype}", "Return it in the query's dtype."
            )
        if attn_weights is None:
            return attn_output
        require_shape("attn_weights", attn_weights, (*query.shape[:-1], key.shape[-2]))
        return attn_output, attn_weights

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads: an argument says so, and all heads come in one call."""
        return self.contract.takes_groups and self.rank == RANKS[0]

    @property
    def masks_padding_only(self) -> bool:
        """Whether its mask has one row for all queries, (batch, key), in which no future can be hidden."""
        return self.mask_shape == PADDING

    def with_contract(self, contract: Contract) -> FunctionAttention:
        """The same attention, called by another contract."""
        return replace(self, contract=contract)

    def with_adaptations(self, adaptations: tuple[Adaptation, ...]) -> FunctionAttention:
        """The same attention, with these notes."""
        return replace(self, adaptations=adaptations)

    def with_student(self, student: Student) -> FunctionAttention:
        """The same attention in another worker."""
        return replace(self, student=student)

    def _probe_result(self, probe: Probe) -> ProbeResult:
        wanted = INPUT_NAMES if probe.upstream is not None else ()
        spec = replace(
            self._spec(**self._call_options(probe)),
            grad=bool(wanted),
            requires_grad=wanted,
            seed=probe.seed,
            echo_inputs=True,
        )
        remote = self.student.remote
        key, value = self._ungrouped(probe)
        reply = remote.call(spec, self._tensors(probe.query, key, value, probe.keep_mask))
        self.student.library_calls.update(reply.library_calls)
        attn_output, attn_weights = self._parse(reply, probe.query, probe.key)
        gradients, gradient_failure = self._gradients(probe, reply)
        return ProbeResult(
            probe=probe.name,
            attn_output=attn_output,
            attn_weights=self._recover_weights(probe, attn_output) if attn_weights is None else attn_weights,
            weights_returned=attn_weights is not None,
            output_requires_grad=reply.requires_grad[output_name(reply)] if wanted else None,
            gradients=gradients,
            gradient_failure=gradient_failure,
            inputs_after=self._inputs_after(probe, reply),
            seconds=reply.seconds,
        )

    def _gradients(self, probe: Probe, reply: CallReply) -> tuple[Mapping[str, Tensor | None], Failure | None]:
        """The student's vector-Jacobian products; a backward pass that fails takes nothing from the forward pass."""
        if probe.upstream is None:
            return {}, None
        name = output_name(reply)
        upstream = lay_out(probe.upstream, self.output_layout)
        if not reply.requires_grad[name] or reply.tensors[name].shape != upstream.shape:
            return dict.fromkeys(INPUT_NAMES), None
        try:
            upstream = upstream.to(reply.tensors[name].dtype)
            found = self.student.remote.backward(reply, {name: upstream})
            heads = probe.query.shape[1]
            back = {key: each if each is None else heads_first(each, self.layout, heads) for key, each in found.items()}
            return back, None
        except SubmissionError as error:
            return dict.fromkeys(INPUT_NAMES), Failure.from_error(error)

    def _recover_weights(self, probe: Probe, attn_output: Tensor) -> Tensor | None:
        if attn_output.shape != probe.query.shape:
            return None
        spec = replace(self._spec(**self._call_options(probe)), seed=probe.seed)

        def attend(value: Tensor) -> Tensor:
            tensors = self._tensors(probe.query, self._ungrouped(probe)[0], value, probe.keep_mask)
            output, _ = self._parse(self.student.remote.call(spec, tensors), probe.query, probe.key)
            require_shape("attn_output", output, tuple(attn_output.shape))
            return output

        return recover_weights(attend, self._ungrouped(probe)[0])

    def _parse(self, reply: CallReply, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor | None]:
        """Output and weights of a reply, heads first."""
        weights_shape = (*query.shape[:-1], key.shape[-2])
        output, weights = parse_result(reply, tuple(lay_out(query, self.output_layout).shape), weights_shape)
        if self.output_layout == SIDE_BY_SIDE and weights is not None and tuple(weights.shape) != weights_shape:
            weights = None  # heads and examples are one axis, in an unknown order
        return heads_first(output, self.output_layout, query.shape[1]), weights

    def _spec(
        self, *, head_dim: int, heads: tuple[int, int] = (1, 1), training: bool = False, dropout_p: float = 0.0
    ) -> CallSpec:
        num_heads, key_value_heads = heads if self.rank == RANKS[0] else (1, 1)
        given: dict[str, TensorRef | LiteralArgument | LayerObject] = {
            "query": TensorRef("query"),
            "key": TensorRef("key"),
            "value": TensorRef("value"),
            "mask": TensorRef("keep_mask"),
            "key_padding_mask": TensorRef("key_padding_mask"),
            "valid_lens": TensorRef("valid_lens"),
            "dropout_p": LiteralArgument(dropout_p),
            "training": LiteralArgument(training),
            "head_dim": LiteralArgument(head_dim),
            "block_size": LiteralArgument(BLOCK_TOKENS),
            "heads": LiteralArgument(num_heads),
            "key_value_heads": LiteralArgument(key_value_heads),
            "group_size": LiteralArgument(num_heads // key_value_heads),
            "scale": LiteralArgument(OTHER_SCALE),
            "factor": LiteralArgument(head_dim**-0.5),
            "divisor": LiteralArgument(head_dim**0.5),
            "is_grouped": LiteralArgument(num_heads > key_value_heads),
            "return_weights": LiteralArgument(True),
            **SWITCHES,
        }
        slots = self.contract.slots
        if "layer" in self.contract.roles:
            sizes = Sizes(
                width=num_heads * head_dim,
                num_heads=num_heads,
                head_dim=head_dim,
                dropout_p=dropout_p,
                num_key_value_heads=key_value_heads,
                is_causal=self.in_causal_model,
            )
            given["layer"] = layer_object(sizes, training=training)
        candidate = self.contract.candidate
        target: str | int = candidate.name
        if candidate.is_module:
            target = self.student.resolve_call_target(candidate, head_dim=head_dim, dropout_p=dropout_p)
        return CallSpec(
            target=target,
            training=training if candidate.is_module else None,
            arguments=tuple((slot.parameter, given[slot.role]) for slot in slots if slot.by_position),
            keywords=tuple((slot.parameter, given[slot.role]) for slot in slots if not slot.by_position),
            rank=self.rank,
        )

    def _group_size(self, probe: Probe) -> int:
        """Number of query heads that share a key in a call: 1 without an argument for groups."""
        return probe.group_size if self.takes_groups else 1

    def _ungrouped(self, probe: Probe) -> tuple[Tensor, Tensor]:
        """Key and value with one head for each group of query heads."""
        step = self._group_size(probe)
        return probe.key[:, ::step].contiguous(), probe.value[:, ::step].contiguous()

    def _call_options(self, probe: Probe) -> dict[str, Any]:
        return {
            "head_dim": probe.query.shape[-1],
            "heads": (probe.query.shape[1], probe.key.shape[1] // self._group_size(probe)),
            "training": probe.training,
            "dropout_p": probe.dropout_p,
        }

    def _tensors(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> dict[str, Tensor]:
        given = {"query": query, "key": key, "value": value}
        tensors = {name: lay_out(each, self.layout) for name, each in given.items()}
        if "mask" in self.contract.roles:
            tensors["keep_mask"] = self._mask(keep_mask, query, self.mask_shape)
        if "key_padding_mask" in self.contract.roles:
            # Beside a mask it says which keys are real; alone it may be meant whole.
            shape = PADDING if "mask" in self.contract.roles else self.mask_shape
            tensors["key_padding_mask"] = self._mask(keep_mask, query, shape)
        return tensors

    def _mask(self, keep_mask: Tensor, query: Tensor, shape: str) -> Tensor:
        contract = self.contract
        if shape == PADDING:
            keep_mask = keep_mask.expand(query.shape[0], -1, -1, -1)
        mask = to_mask_shape(keep_mask, shape)
        return to_mask_convention(mask, contract.mask_convention, query.dtype, is_numeric=contract.is_mask_numeric)

    def _inputs_after(self, probe: Probe, reply: CallReply) -> Mapping[str, Tensor]:
        """The inputs as the call left them; the mask is compared in the student's convention and put back in ours."""
        heads = probe.query.shape[1]
        masked = {"keep_mask", "key_padding_mask"}
        after = {
            name: each if name in masked else heads_first(each, self.layout, heads)
            for name, each in reply.inputs_after.items()
        }
        for name in {"key", "value"} & after.keys():
            after[name] = after[name].repeat_interleave(self._group_size(probe), dim=1)
        sent = self._tensors(probe.query, probe.key, probe.value, probe.keep_mask)
        masks = [name for name in ("keep_mask", "key_padding_mask") if name in after]
        if masks:
            masks_after = {name: after.pop(name) for name in masks}
            same = all(_is_repeated(mask, sent[name]) for name, mask in masks_after.items())
            after["keep_mask"] = probe.keep_mask if same else ~probe.keep_mask
        return after


def _is_repeated(mask: Tensor, sent: Tensor) -> bool:
    """Whether a mask came back as it was sent; a loop over heads sends as many copies as there were calls."""
    if mask.dtype != sent.dtype or mask.dim() != sent.dim():
        return False
    fits = all(size in {1, now} for now, size in zip(mask.shape, sent.shape, strict=True))
    return fits and torch.equal(mask, sent.expand_as(mask))
