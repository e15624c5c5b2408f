"""The arguments of one call on hidden states, by contract and conventions; or of several calls with a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.constructor import CONTEXT_TOKENS
from pytest_attn_grader.submission.constructor_roles import choose_option, text_options
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import SWITCHES
from pytest_attn_grader.submission.masks import PADDING, PER_HEAD, SQUARE, to_mask_convention, to_mask_shape
from pytest_attn_grader.submission.projected import CallConventions, ProjectedInputs
from pytest_attn_grader.submission.projections.layouts import pack
from pytest_attn_grader.submission.projections.norms import fill_norms
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.remote.arguments import (
    Argument,
    ComplexTensorRef,
    LiteralArgument,
    TensorRef,
    TupleArgument,
)
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.return_values import WEIGHTS_KEYS
from pytest_attn_grader.submission.rotary import make_tables, rotary_values
from pytest_attn_grader.submission.signatures import Slot


@dataclass(frozen=True)
class ProjectedCall:
    """Makes the calls of one submission that takes hidden states."""

    contract: Contract
    conventions: CallConventions
    rotary_base: float = BASE

    def pack_projections(
        self, shape: ProjectionMap, inputs: ProjectedInputs
    ) -> tuple[dict[str, str], dict[str, Tensor]]:
        """The projections as the submission's parameters: under which name each is sent, and the tensors."""
        if shape.loading is not None:
            packed = shape.loading.fill(inputs.projections)
        else:
            packed = pack(shape, self.conventions.layout, inputs.projections)
        norm = self.conventions.norm
        if norm is not None and shape.norms is not None and inputs.norm_weights is not None:
            packed |= fill_norms(shape.norms, norm, inputs.norm_weights)
        sent_as = {name: f"parameter.{name}" for name in packed}
        return sent_as, {sent_as[name]: value for name, value in packed.items()}

    def spec(self, shape: ProjectionMap, inputs: ProjectedInputs, sent_as: Mapping[str, str]) -> CallSpec:
        is_module = self.contract.kind == "module"
        same = inputs.query_states is inputs.key_states
        given: dict[str, Argument] = {
            **rotary_values(self.conventions.tables),
            "hidden_states": TensorRef("hidden_states"),
            "query": TensorRef("hidden_states" if same else "query_states"),
            "key": TensorRef("hidden_states"),
            "value": TensorRef("hidden_states" if inputs.value_states is None else "value_states"),
            "mask": TensorRef("mask"),
            "key_padding_mask": TensorRef("key_padding_mask"),
            "return_weights": LiteralArgument(True),
            "dropout_p": LiteralArgument(inputs.dropout_p),
            "training": LiteralArgument(inputs.training),
            "num_heads": LiteralArgument(shape.num_heads),
            "head_dim": LiteralArgument(shape.head_dim),
            "width": LiteralArgument(shape.num_heads * shape.head_dim),
            "context": LiteralArgument(CONTEXT_TOKENS),
            "rotary_base": LiteralArgument(self.rotary_base),
            "valid_lens": TensorRef("valid_lens"),
            **SWITCHES,
        }
        if not is_module:
            given |= {slot.role: TensorRef(sent_as[slot.parameter]) for slot in self.contract.slots if _is_weight(slot)}
        if self._padding_is_in_the_mask:
            given["key_padding_mask"] = LiteralArgument(None)
        texts = {each.name: each for each in self.contract.candidate.called.parameters if text_options(each)}

        def value_of(slot: Slot) -> Argument:
            return LiteralArgument(choose_option(texts[slot.parameter])) if slot.role == "option" else given[slot.role]

        slots = self.contract.slots
        return CallSpec(
            target=shape.target,
            arguments=tuple((slot.parameter, value_of(slot)) for slot in slots if slot.by_position),
            keywords=tuple((slot.parameter, value_of(slot)) for slot in slots if not slot.by_position),
            training=inputs.training,
            seed=inputs.seed,
            echo_inputs=inputs.watch_inputs,
            parameters=sent_as if is_module else {},
            dtype=str(inputs.key_states.dtype).removeprefix("torch."),
            attributes=WEIGHTS_KEYS if is_module else (),
        )

    @property
    def _padding_is_in_the_mask(self) -> bool:
        return {"mask", "key_padding_mask"} <= self.contract.roles and self.conventions.mask_shape != PADDING

    def tensors(self, inputs: ProjectedInputs) -> dict[str, Tensor]:
        def place(states: Tensor) -> Tensor:
            if self.conventions.one_at_a_time:
                return states[0]
            return states.transpose(0, 1) if self.conventions.layout.sequence_first else states

        tensors = {"hidden_states": place(inputs.key_states)}
        if self.conventions.tables is not None:
            seq_len, head_dim = inputs.key_states.shape[1], inputs.projections.head_dim
            whole = self.conventions.cache is not None and self.conventions.cache.whole_tables
            tensors |= make_tables(
                self.conventions.tables, seq_len, head_dim, inputs.key_states.dtype, past=inputs.past, whole=whole
            )
        elif self.conventions.cache is not None:
            tensors["rotary.positions"] = torch.arange(inputs.past, inputs.past + inputs.key_states.shape[1])
        if inputs.query_states is not inputs.key_states:
            tensors["query_states"] = place(inputs.query_states)
        if inputs.value_states is not None:
            tensors["value_states"] = place(inputs.value_states)
        if inputs.valid_lens is not None:
            tensors["valid_lens"] = inputs.valid_lens
        if "mask" in self.contract.roles:
            tensors["mask"] = self._convert(self._mask(inputs.keep_mask), inputs)
        if "key_padding_mask" in self.contract.roles and not self._padding_is_in_the_mask:
            tensors["key_padding_mask"] = self._convert(to_mask_shape(inputs.keep_mask, PADDING), inputs)
        return tensors

    def _convert(self, keep_mask: Tensor, inputs: ProjectedInputs) -> Tensor:
        contract = self.contract
        return to_mask_convention(
            keep_mask, contract.mask_convention, inputs.key_states.dtype, is_numeric=contract.is_mask_numeric
        )

    def _mask(self, keep_mask: Tensor) -> Tensor:
        shape = self.conventions.mask_shape
        if shape == PADDING and "key_padding_mask" in self.contract.roles:
            return keep_mask.any(dim=0)[0]  # what is left for the mask: (query, key), the same for all examples
        if self.conventions.one_at_a_time and shape == PER_HEAD:
            shape = SQUARE
        return to_mask_shape(keep_mask, shape)


def _is_weight(slot: Slot) -> bool:
    return slot.role[:2] in {"w_", "b_"}


def split_into_chunks(inputs: ProjectedInputs) -> Iterator[ProjectedInputs]:
    """Yield the inputs of each call: the new tokens, and the rows of the mask over all tokens so far."""
    for stop, length in zip(accumulate(inputs.chunks), inputs.chunks, strict=True):
        new = slice(stop - length, stop)
        states = inputs.key_states[:, new]
        yield replace(
            inputs,
            query_states=states,
            key_states=states,
            keep_mask=inputs.keep_mask[:, :, new, :stop],
            chunks=(),
            past=new.start,
        )


def with_cache(spec: CallSpec, style: CacheStyle, past: int) -> CallSpec:
    """Return the call with the arguments of its cache, in the places of those that are passed already."""
    given = style.arguments(past)
    arguments = tuple((name, given.pop(name, argument)) for name, argument in spec.arguments)
    keywords = {**dict(spec.keywords), **given}
    return replace(spec, arguments=arguments, keywords=tuple(keywords.items()))


def with_prefix(spec: CallSpec, prefix: str) -> CallSpec:
    """Return the call with this before the name of every tensor among its arguments."""

    def rename(argument: Argument) -> Argument:
        if isinstance(argument, TensorRef) and not argument.tensor.startswith("parameter."):
            return TensorRef(prefix + argument.tensor)
        if isinstance(argument, ComplexTensorRef):
            return ComplexTensorRef(prefix + argument.complex_tensor)
        if isinstance(argument, TupleArgument):
            return TupleArgument(tuple(rename(item) for item in argument.items))  # type: ignore[misc]
        return argument

    arguments = tuple((name, rename(argument)) for name, argument in spec.arguments)
    keywords = tuple((name, rename(argument)) for name, argument in spec.keywords)
    return replace(spec, arguments=arguments, keywords=keywords)
