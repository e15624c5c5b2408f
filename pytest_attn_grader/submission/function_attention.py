"""Make a student's function fit: its own order of arguments, its own mask and rank, weights that it keeps to itself.

Every adaptation is listed in the report; adapting is not a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.attention.rotation import rotate_both
from pytest_attn_grader.submission.constructor import Sizes, arguments_for, layer_object
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.head_layouts import HEADS_FIRST, SIDE_BY_SIDE, heads_first, lay_out
from pytest_attn_grader.submission.masks import PADDING, PER_HEAD, as_lengths, to_mask_convention, to_mask_shape
from pytest_attn_grader.submission.remote.arguments import Argument, LiteralArgument, TensorRef
from pytest_attn_grader.submission.remote.messages import CallReply, CallSpec, Candidate
from pytest_attn_grader.submission.return_values import parse_result, require_shape
from pytest_attn_grader.submission.rotary import make_tables, rotary_values
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.student_attention import NO_CACHE, USUAL, Attended, CallMode, StudentAttention

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

    mask_shape: str = PER_HEAD
    layout: str = HEADS_FIRST
    output_layout: str = HEADS_FIRST

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads: an argument says so, and all heads come in one call."""
        return self.contract.takes_groups and self.rank == RANKS[0] and self.contract.tables is None

    @property
    def masks_padding_only(self) -> bool:
        return self.mask_shape == PADDING

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, mode: CallMode = USUAL) -> Attended:
        if self.contract.tables is None:
            return self._attend(query, key, value, keep_mask, mode)
        # Its tables are those of the keys: there are as many queries, the last ones of which count.
        past = key.shape[-2] - query.shape[-2]
        all_queries = query
        if past:
            all_queries = torch.cat([key[..., :past, :], query], dim=-2)
            earlier = causal_keep_mask(key.shape[-2], device=key.device)[:past]
            keep_mask = torch.cat([earlier.expand(*keep_mask.shape[:2], -1, -1), keep_mask], dim=-2)
        sent_query, sent_key = rotate_both(all_queries, key, self.contract.rotation, backwards=True)
        answer = self._attend(sent_query, sent_key, value, keep_mask, mode)
        weights = None if answer.attn_weights is None else answer.attn_weights[..., past:, :]
        after = dict(answer.inputs_after)
        for name, given, sent in (("query", query, sent_query), ("key", key, sent_key)):
            if name in after and torch.equal(after[name], sent):
                after[name] = given
        if "keep_mask" in after:
            after["keep_mask"] = after["keep_mask"][..., past:, :]
        return replace(answer, attn_output=answer.attn_output[..., past:, :], attn_weights=weights, inputs_after=after)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, mode: CallMode) -> Attended:
        heads, weights_shape = (query.shape[1], key.shape[1]), (*query.shape[:-1], key.shape[-2])
        sent = self._tensors(query, key, value, keep_mask)
        reply = self.student.call(self._spec(query.shape[-1], heads, mode), sent)
        output, weights = parse_result(reply, tuple(lay_out(query, self.output_layout).shape), weights_shape)
        if self.output_layout == SIDE_BY_SIDE and weights is not None and tuple(weights.shape) != weights_shape:
            weights = None  # heads and examples are one axis, in an unknown order
        after = self._inputs_after(reply, sent, keep_mask, heads)
        return Attended(heads_first(output, self.output_layout, heads[0]), weights, reply.seconds, inputs_after=after)

    def _spec(self, head_dim: int, heads: tuple[int, int], mode: CallMode) -> CallSpec:
        num_heads, key_value_heads = heads if self.rank == RANKS[0] else (1, 1)
        given: dict[str, Argument] = {
            "query": TensorRef("query"),
            "key": TensorRef("key"),
            "value": TensorRef("value"),
            "mask": TensorRef("keep_mask"),
            "key_padding_mask": TensorRef("key_padding_mask"),
            "valid_lens": TensorRef("valid_lens"),
            "dropout_p": LiteralArgument(mode.dropout_p),
            "training": LiteralArgument(mode.training),
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
            **rotary_values(self.contract.tables),
            **SWITCHES,
        }
        slots = self.contract.slots
        if "layer" in self.contract.roles:
            sizes = Sizes(
                width=num_heads * head_dim,
                num_heads=num_heads,
                head_dim=head_dim,
                dropout_p=mode.dropout_p,
                num_key_value_heads=key_value_heads,
                is_causal=self.in_causal_model,
            )
            given["layer"] = layer_object(sizes, training=mode.training)
        candidate = self.contract.candidate
        target: str | int = candidate.name
        if candidate.is_module:
            target = find_call_target(self.student, candidate, head_dim=head_dim, dropout_p=mode.dropout_p)
        return CallSpec(
            target=target,
            training=mode.training if candidate.is_module else None,
            arguments=tuple((slot.parameter, given[slot.role]) for slot in slots if slot.by_position),
            keywords=tuple((slot.parameter, given[slot.role]) for slot in slots if not slot.by_position),
            rank=self.rank,
            seed=mode.seed,
            echo_inputs=mode.watch_inputs,
        )

    def _tensors(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> dict[str, Tensor]:
        given = {"query": query, "key": key, "value": value}
        tensors = {name: lay_out(each, self.layout) for name, each in given.items()}
        if self.contract.tables is not None:
            tensors |= make_tables(self.contract.tables, key.shape[-2], key.shape[-1], key.dtype)
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

    def _inputs_after(
        self, reply: CallReply, sent: Mapping[str, Tensor], keep_mask: Tensor, heads: tuple[int, int]
    ) -> Mapping[str, Tensor]:
        """The inputs as the call left them; the mask is compared in the student's convention and put back in ours."""
        after = {}
        for name in {"query", "key", "value"} & reply.inputs_after.keys():
            after[name] = heads_first(reply.inputs_after[name], self.layout, heads[0])
            if name != "query":
                after[name] = after[name].repeat_interleave(heads[0] // heads[1], dim=1)
        masks = {"keep_mask", "key_padding_mask"} & reply.inputs_after.keys()
        if masks:
            same = all(_is_repeated(reply.inputs_after[name], sent[name]) for name in masks)
            after["keep_mask"] = keep_mask if same else ~keep_mask
        return after


def find_call_target(
    student: Student, candidate: Candidate, *, head_dim: int = 64, dropout_p: float = 0.0
) -> str | int:
    """The object to call: the candidate itself, or an instance of its class for heads of this size."""
    if candidate.kind != "module-class":
        return candidate.name
    sizes = Sizes(4 * head_dim, 4, head_dim, dropout_p=dropout_p)
    return student.construct(candidate.name, arguments_for(candidate, sizes)).handle


def _is_repeated(mask: Tensor, sent: Tensor) -> bool:
    """Whether a mask came back as it was sent; a loop over heads sends as many copies as there were calls."""
    if mask.dtype != sent.dtype or mask.dim() != sent.dim():
        return False
    fits = all(size in {1, now} for now, size in zip(mask.shape, sent.shape, strict=True))
    return fits and torch.equal(mask, sent.expand_as(mask))


# Every query is sent with all keys: a longer text would be gigabytes.
MAX_TOKENS = 128


@dataclass(frozen=True)
class LengthAttention(FunctionAttention):
    """A function whose mask is a length: `attention(queries, keys, values, valid_lens)`, (batch, seq, features) each.

    A length cannot say that a query sees its past only. So every query of every head becomes an example with one query,
    its kept keys first: then any mask is a length.
    """

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads: not here, as every call is about one query of one head."""
        return False

    def unsupported_reason(self, probe: Probe) -> str | None:
        if probe.chunks:
            return NO_CACHE
        tokens = probe.key.shape[-2]
        if tokens > MAX_TOKENS:
            return f"its mask is a length, so each query needs a separate call: up to {MAX_TOKENS} tokens, not {tokens}"
        return None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, mode: CallMode = USUAL) -> Attended:
        batch_size, num_heads, query_len, head_dim = query.shape
        key_len = key.shape[-2]
        rows = (batch_size, num_heads, query_len)
        order, lengths = as_lengths(keep_mask.expand(*rows, key_len).reshape(-1, key_len))

        def by_row(tensor: Tensor) -> Tensor:
            expanded = tensor[:, :, None].expand(*rows, key_len, head_dim).reshape(-1, key_len, head_dim)
            return expanded.gather(1, order[..., None].expand_as(expanded))

        sent = {
            "query": query.reshape(-1, 1, head_dim),
            "key": by_row(key),
            "value": by_row(value),
            "valid_lens": lengths,
        }
        reply = self.student.call(self._spec(head_dim, (1, 1), replace(mode, watch_inputs=False)), sent)
        output_shape, weights_shape = (len(lengths), 1, head_dim), (len(lengths), 1, key_len)
        output, weights = parse_result(reply, output_shape, weights_shape)
        require_shape("attn_output", output, output_shape)
        if weights is not None:
            require_shape("attn_weights", weights, weights_shape)
            weights = torch.zeros_like(weights).scatter(-1, order[:, None], weights).reshape(*rows, key_len)
        return Attended(output.reshape(query.shape), weights, reply.seconds)


def fit_length_function(student: Student, contract: Contract) -> LengthAttention:
    """A function with valid_lens as an attention; it takes three dimensions by its convention."""
    why = "its mask is a length: called with one query at a time, the keys that it may attend to first"
    return LengthAttention(student, contract.with_note("valid-lens", why), rank=4)
