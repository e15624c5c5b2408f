"""A function whose mask is a length: `attention(queries, keys, values, valid_lens)`, tensors (batch, seq, features).

A length cannot say that a query sees its past only. So every query of every head becomes an example with one query,
its kept keys first: then any mask is a length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, ProbeResult
from pytest_attn_grader.attention.weight_recovery import recover_weights
from pytest_attn_grader.results.submission import Adaptation
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.masks import as_lengths
from pytest_attn_grader.submission.return_values import parse_result, require_shape
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.student_attention import NO_CACHE, vector_jacobian_products

# Every query is sent with all keys: a longer text would be gigabytes.
MAX_TOKENS = 128
NOTE = Adaptation(
    name="valid-lens", why="its mask is a length: called with one query at a time, the keys that it may attend to first"
)


@dataclass(frozen=True)
class LengthAttention(FunctionAttention):
    """The submission as an attention function on four-dimensional tensors, called with a length for every query."""

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run one forward pass; see `StudentAttention`."""
        if keep_mask is None:
            keep_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)[None, None]
        attn_output, attn_weights = self._attend(query, key, value, keep_mask, seed=None)
        return attn_output if attn_weights is None else (attn_output, attn_weights)

    @property
    def takes_groups(self) -> bool:
        """Whether keys and values may have fewer heads: not here, as every call is about one query of one head."""
        return False

    def unsupported_reason(self, probe: Probe) -> str | None:
        """Why this probe cannot be run with this submission; None when it can."""
        if probe.chunks:
            return NO_CACHE
        tokens = probe.key.shape[-2]
        if tokens > MAX_TOKENS:
            return f"its mask is a length, so each query needs a separate call: up to {MAX_TOKENS} tokens, not {tokens}"
        return None

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, *, seed: int | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
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
        reply = self.student.call(replace(self._spec(head_dim=head_dim, **options), seed=seed), sent)
        shapes = (sent["query"].shape, (*sent["query"].shape[:-1], key_len))
        output, weights = parse_result(reply, tuple(shapes[0]), tuple(shapes[1]))
        require_shape("attn_output", output, tuple(shapes[0]))
        if weights is not None:
            require_shape("attn_weights", weights, tuple(shapes[1]))
            weights = torch.zeros_like(weights).scatter(-1, order[:, None], weights).reshape(*rows, key_len)
        return output.reshape(query.shape), weights

    def _probe_result(self, probe: Probe) -> ProbeResult:
        wanted = probe.upstream is not None
        leaves = {name: tensor.detach().clone().requires_grad_(wanted) for name, tensor in probe.inputs.items()}
        options: dict[str, Any] = {"training": probe.training, "dropout_p": probe.dropout_p, "seed": probe.seed}
        with torch.set_grad_enabled(wanted):
            attn_output, attn_weights = self._attend(
                leaves["query"], leaves["key"], leaves["value"], probe.keep_mask, **options
            )
        returned = attn_weights is not None
        if attn_weights is None:
            with torch.no_grad():
                attn_weights = recover_weights(
                    lambda value: self._attend(probe.query, probe.key, value, probe.keep_mask, **options)[0], probe.key
                )
        gradients, failure = vector_jacobian_products(attn_output, probe.upstream, leaves)
        return ProbeResult(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=attn_weights.detach(),
            weights_returned=returned,
            output_requires_grad=attn_output.requires_grad if wanted else None,
            gradients=gradients,
            gradient_failure=failure,
        )


def fit_length_function(student: Student, contract: Contract) -> LengthAttention:
    """A function with valid_lens as an attention; it takes three dimensions by its convention."""
    notes = tuple(Adaptation(name=name, why=why) for name, why in contract.notes)
    return LengthAttention(student, contract, 4, (*notes, NOTE))
