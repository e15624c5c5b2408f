"""A student's module, or a function that is given its projections as arguments, as an oracle.

An oracle has fixed sizes; `head_adapter.py` makes any heads fit them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.attention.rotation import BASE, rotate_both
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.constructor import Sizes, arguments_for
from pytest_attn_grader.submission.constructor_roles import roles_of, takes_groups
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.instantiate import shape_of_function, shape_of_module
from pytest_attn_grader.submission.masks import SQUARE, as_lengths
from pytest_attn_grader.submission.projected import CallConventions, ProjectedInputs, ProjectedOutputs, join_weights
from pytest_attn_grader.submission.projected_call import ProjectedCall, split_into_chunks, with_cache, with_prefix
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.return_values import WEIGHTS_KEYS, parse_result, wrong_result
from pytest_attn_grader.submission.size_names import role_of_size

if TYPE_CHECKING:
    from pytest_attn_grader.submission.remote.messages import CallReply
    from pytest_attn_grader.submission.student import Student

NO_CACHE_RETURNED = "No call returned a cache for the next one."
_SEED_STEP = 1_000_000_007  # none that groups of heads take


@dataclass(frozen=True)
class ProjectedStudent:
    """A student's module, or a function that is given its projections as arguments.

    Attributes:
        steps: of the graded model's layer, which the module takes itself.
    """

    student: Student
    contract: Contract
    conventions: CallConventions = field(default_factory=CallConventions)
    steps: LayerSteps = field(default_factory=LayerSteps)

    @property
    def takes_key_states(self) -> bool:
        """Whether queries and keys may come from different texts, as with a cache."""
        return "key" in self.contract.roles and not self.conventions.one_text

    @property
    def reads_dropout(self) -> bool:
        """Whether the constructor takes a probability of dropout from a config object."""
        return "dropout" in self._config_roles

    @property
    def takes_groups(self) -> bool:
        """Whether the module can be constructed with fewer key/value heads than query heads."""
        candidate = self.contract.candidate
        return "key_value_heads" in self._config_roles or (candidate.kind == "module-class" and takes_groups(candidate))

    @property
    def _config_roles(self) -> frozenset[str | None]:
        """The sizes that the constructor reads from a config object."""
        candidate = self.contract.candidate
        if candidate.kind != "module-class" or "config" not in roles_of(candidate):
            return frozenset()
        made = self.student.construct(candidate.name, arguments_for(candidate, self._sizes(256, 4, 64)))
        return frozenset(map(role_of_size, made.config_read))

    def _sizes(self, width: int, num_heads: int, head_dim: int) -> Sizes:
        return Sizes(
            width,
            num_heads,
            head_dim,
            rotary_base=self.steps.rotary_base,
            has_norms=self.steps.norm_axis is not None,
            sliding_window=self.steps.sliding_window,
            is_causal=self.steps.is_causal and not self.contract.hides_by_mask,
        )

    def shape_for(
        self,
        num_heads: int,
        head_dim: int,
        *,
        num_key_value_heads: int | None = None,
        width: int | None = None,
        dropout_p: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> ProjectionMap:
        """The instance that is asked about so many heads, in this dtype; `width` where the model's own is wanted."""
        usual = self._sizes(width or num_heads * head_dim, num_heads, head_dim)
        sizes = replace(usual, dropout_p=dropout_p, num_key_value_heads=num_key_value_heads)
        if self.contract.kind == "projected-function":
            return shape_of_function(self.contract, sizes, heads_apart=self.conventions.layout.heads_apart)
        return shape_of_module(self.student, self.contract, sizes, use=str(dtype))

    @property
    def preparation(self) -> Preparation | None:
        """The steps before the scores that it takes itself, where it normalises query and key; None otherwise."""
        norm = self.conventions.norm
        return None if norm is None else Preparation(norm.over, self.conventions.rotation)

    @property
    def _call(self) -> ProjectedCall:
        return ProjectedCall(self.contract, self.conventions, self.steps.rotary_base or BASE)

    # --- one call -----------------------------------------------------------------------------------------------------

    def forward(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        if "valid_lens" in self.contract.roles:
            return self._forward_by_query(shape, inputs)
        batch_size = inputs.key_states.shape[0]
        # One call for all examples wherever it is possible: calls for one of each would hide that examples are mixed.
        has_other_masks = self.conventions.mask_shape == SQUARE and bool(
            (inputs.keep_mask != inputs.keep_mask[:1]).any()
        )
        if batch_size == 1 or not (self.conventions.one_at_a_time or has_other_masks):
            return self._forward(shape, inputs)
        answers = [self._forward(shape, _example(inputs, index)) for index in range(batch_size)]
        return ProjectedOutputs(
            output=torch.cat([answer.output for answer in answers]),
            attn_weights=join_weights([answer.attn_weights for answer in answers]),
            seconds=sum(answer.seconds for answer in answers),
            changed=tuple(dict.fromkeys(name for answer in answers for name in answer.changed)),
            returns_scores=any(answer.returns_scores for answer in answers),
        )

    def _forward_by_query(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        """A mask that is a length: every query is an example with one query, whose kept keys come first."""
        batch_size, query_len, _ = inputs.query_states.shape
        key_len = inputs.key_states.shape[1]
        order, lengths = as_lengths(inputs.keep_mask.expand(batch_size, 1, query_len, key_len).reshape(-1, key_len))
        keys = inputs.key_states.repeat_interleave(query_len, dim=0)  # (batch * query, key, width)
        keys = keys.gather(1, order[..., None].expand_as(keys))
        queries = inputs.query_states.flatten(0, 1)[:, None]
        outputs = self._forward(shape, replace(inputs, query_states=queries, key_states=keys, valid_lens=lengths))
        output = outputs.output.reshape(batch_size, query_len, -1)
        if outputs.attn_weights is None:
            return replace(outputs, output=output)
        unsorted = torch.zeros_like(outputs.attn_weights)  # (batch * query, heads, 1, key)
        unsorted = unsorted.scatter(-1, order[:, None, None].expand_as(unsorted), outputs.attn_weights)
        by_query = unsorted.reshape(batch_size, query_len, -1, key_len).transpose(1, 2)
        return replace(outputs, output=output, attn_weights=by_query)

    def _forward(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        if inputs.chunks:
            return self._forward_with_cache(shape, inputs)
        tensors = self._call.tensors(inputs)
        sent_as, parameters = self._call.pack_projections(shape, inputs)
        tensors |= parameters
        reply = self.student.call(self._call.spec(shape, inputs, sent_as), tensors)
        lengths = (inputs.query_states.shape[1], inputs.key_states.shape[1])
        weights_shape = (inputs.key_states.shape[0], shape.num_heads, *lengths)
        output, weights = parse_result(reply, self._output_shape(shape, inputs), weights_shape)
        found = _find_weights(weights, reply, weights_shape)
        return ProjectedOutputs(
            output=self._checked_output(shape, inputs, output),
            attn_weights=found,
            seconds=reply.seconds,
            changed=_changed_inputs(tensors, reply.inputs_after),
            returns_scores=weights is not None and found is not weights and _are_scores(weights),
        )

    def _forward_with_cache(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        """One call a chunk of the tokens, each with the cache of the one before; no weights, no gradients."""
        style = self.conventions.cache
        assert style is not None
        if not style.is_reset:
            raise wrong_result(
                f"{style.reset}() does not empty the cache: the first text is right, and the next one is not",
                "Set all that a call leaves behind to what __init__ sets it to: keys, values and the position.",
            )
        sent_as, tensors = self._call.pack_projections(shape, inputs)
        parts = list(split_into_chunks(inputs))
        specs, call = [], self._cached_call(inputs, style)
        for number, part in enumerate(parts):
            spec = with_cache(call.spec(shape, part, sent_as), style, part.past)
            specs.append(with_prefix(spec, f"{number}."))
            tensors |= {f"{number}.{name}": tensor for name, tensor in call.tensors(part).items()}
        answer = self.student.remote.cached_calls(specs, tensors, style.reset)
        self.student.library_calls.update(answer.replies[0].library_calls)
        if not answer.passed_on:
            raise SubmissionError("malformed-reply", NO_CACHE_RETURNED)
        outputs = [
            self._checked_output(shape, part, parse_result(reply, self._output_shape(shape, part))[0])
            for part, reply in zip(parts, answer.replies, strict=True)
        ]
        return ProjectedOutputs(output=torch.cat(outputs, dim=1), seconds=answer.seconds)

    def _cached_call(self, inputs: ProjectedInputs, style: CacheStyle) -> ProjectedCall:
        """The calls that text is written with: without a mask, where it hides the future itself and nothing is padding.

        With the mask it would not show that the submission's own one is left out as soon as there is a cache.
        """
        is_padded = not bool(inputs.keep_mask[..., -1, :].all())
        if style.masks_itself and not is_padded:
            return replace(self._call, contract=self.contract.without_role("mask"))
        return self._call

    def _checked_output(self, shape: ProjectionMap, inputs: ProjectedInputs, output: Tensor) -> Tensor:
        wanted = self._output_shape(shape, inputs)
        if tuple(output.shape) != wanted:
            raise SubmissionError(
                "malformed-reply",
                f"{self.contract.candidate.called.name} returned a tensor of shape {tuple(output.shape)} where "
                f"{wanted} = (batch, seq, features) was expected.",
                remedy=_shape_remedy(tuple(output.shape), shape, wanted),
            )
        if output.dtype != inputs.query_states.dtype:
            raise SubmissionError(
                "malformed-reply",
                f"The output is {output.dtype}, the hidden states {inputs.query_states.dtype}.",
                remedy="Return it in the dtype of what came in: no .float() or float32 buffer on the way.",
            )
        if self.conventions.one_at_a_time:
            return output[None]
        return output.transpose(0, 1) if self.conventions.layout.sequence_first else output

    def _output_shape(self, shape: ProjectionMap, inputs: ProjectedInputs) -> tuple[int, ...]:
        batch_size, query_len, _ = inputs.query_states.shape
        if self.conventions.one_at_a_time:
            return query_len, shape.out_features
        if self.conventions.layout.sequence_first:
            return query_len, batch_size, shape.out_features
        return batch_size, query_len, shape.out_features


class ProjectedReference(ProjectedStudent):
    """The reference in the place of a student's oracle, rotation included: what comes of the adapter alone."""

    def forward(self, shape: ProjectionMap, inputs: ProjectedInputs) -> ProjectedOutputs:
        query, _, _ = inputs.projections.query_key_value(inputs.query_states)
        _, key, value = inputs.projections.query_key_value(inputs.key_states)
        if inputs.value_states is not None:
            _, _, value = inputs.projections.query_key_value(inputs.value_states)
        query, key = rotate_both(query, key, self.conventions.rotation)
        shared = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
        attn_output, attn_weights = reference_attention(query, key, value, inputs.keep_mask)
        return ProjectedOutputs(inputs.projections.project_output(attn_output), attn_weights)


def _changed_inputs(sent: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the inputs that a call has left otherwise than they were sent."""
    names = {"hidden_states": "the hidden states", "query_states": "the hidden states", "mask": "the mask"}
    return tuple(
        names.get(name, name) for name, tensor in after.items() if not torch.equal(tensor, sent[name].detach())
    )


def _find_weights(returned: Tensor | None, reply: CallReply, wanted: tuple[int, ...]) -> Tensor | None:
    """The weights of all heads that were returned or kept; of a single head they may come without its axis."""
    batch_size, num_heads, *lengths = wanted
    shapes = {wanted, (batch_size, *lengths), tuple(lengths)} if num_heads == 1 else {wanted}
    for tensor in (returned, *(reply.attributes[name] for name in WEIGHTS_KEYS if name in reply.attributes)):
        if tensor is None or not tensor.is_floating_point() or _are_scores(tensor):
            continue  # scores, not weights: these are recovered
        if tuple(tensor.shape) in shapes:
            return tensor.reshape(wanted)
    return None


def _are_scores(tensor: Tensor) -> bool:
    """Whether a tensor in the place of the weights has negative numbers, which no weights have."""
    return tensor.is_floating_point() and bool((tensor < 0).any())


def _example(inputs: ProjectedInputs, index: int) -> ProjectedInputs:
    one = slice(index, index + 1)
    key_states = inputs.key_states[one]
    same = inputs.query_states is inputs.key_states
    query_states = key_states if same else inputs.query_states[one]
    mask = inputs.keep_mask[one] if inputs.keep_mask.shape[0] > 1 else inputs.keep_mask
    value_states = None if inputs.value_states is None else inputs.value_states[one]
    seed = None if inputs.seed is None else inputs.seed + _SEED_STEP * index  # or all examples would drop the same
    return replace(
        inputs, query_states=query_states, key_states=key_states, value_states=value_states, keep_mask=mask, seed=seed
    )


def _shape_remedy(came: tuple[int, ...], shape: ProjectionMap, wanted: tuple[int, ...]) -> str:
    if len(came) == 4 and came[-1] == shape.head_dim:
        return "Put the heads side by side again: .transpose(1, 2).reshape(batch, seq, num_heads * head_dim)."
    if came == (wanted[0], *wanted[1:-1], shape.num_heads * shape.head_dim):
        return "It has a parameter that looks like an output projection, but the output is not projected by it."
    return "Return hidden states of the shape that came in; look at every view, reshape and transpose."
