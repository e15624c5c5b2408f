"""The arguments of one call on hidden states, by the submission's contract and conventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.submission.call_conventions import CallConventions
from pytest_attn_grader.submission.constructor import CONTEXT_TOKENS
from pytest_attn_grader.submission.constructor_roles import choose_option, text_options
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import SWITCHES
from pytest_attn_grader.submission.masks import PADDING, PER_HEAD, SQUARE, to_mask_convention, to_mask_shape
from pytest_attn_grader.submission.projected import InstanceSizes, ProjectedInputs
from pytest_attn_grader.submission.projections.layouts import pack
from pytest_attn_grader.submission.projections.norms import fill_norms
from pytest_attn_grader.submission.remote.arguments import Argument, LiteralArgument, TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.rotary_arguments import make_tables, rotary_values
from pytest_attn_grader.submission.signatures import Slot

# Where modules keep their weights instead of returning them.
WEIGHTS_ATTRIBUTES = (
    "attn_weights",
    "attention_weights",
    "attn",
    "attention",
    "weights",
    "p_attn",
    "attn_probs",
    "attention_probs",
    "attn_map",
    "last_attention",
)


@dataclass(frozen=True)
class ProjectedCall:
    """Makes the calls of one submission that takes hidden states."""

    contract: Contract
    conventions: CallConventions
    rotary_base: float = BASE

    def pack_projections(
        self, shape: InstanceSizes, inputs: ProjectedInputs
    ) -> tuple[dict[str, str], dict[str, Tensor]]:
        """The projections as the submission's parameters: under which name each is sent, and the tensors."""
        if shape.loading is not None:
            packed = shape.loading.fill(inputs.projections)
        else:
            packed = pack(shape.found, self.conventions.layout, inputs.projections)
        norm = self.conventions.norm
        if norm is not None and shape.found.norms is not None and inputs.norm_weights is not None:
            packed |= fill_norms(shape.found.norms, norm, inputs.norm_weights)
        sent_as = {name: f"parameter.{name}" for name in packed}
        return sent_as, {sent_as[name]: value for name, value in packed.items()}

    def spec(self, shape: InstanceSizes, inputs: ProjectedInputs, sent_as: Mapping[str, str]) -> CallSpec:
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
            attributes=WEIGHTS_ATTRIBUTES if is_module else (),
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
