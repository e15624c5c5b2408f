"""The projections that a submission computes itself, with random matrices and biases, in one call.

The probes use unit vectors as hidden states and no biases, so that query, key and value are the probe's own numbers.
Here every matrix and every bias matters, and the values may come from another text than the keys.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.grading.projection_mistakes import (
    NAMES,
    misplaced_output_projections,
    other_texts,
    transposed_projections,
    unprojected,
    values_projected_as_output,
)
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.parameter_names import KEY_TEXTS
from pytest_attn_grader.submission.projected import ProjectedInputs, heads_of
from pytest_attn_grader.submission.projections.matrices import Projections
from pytest_attn_grader.submission.projections.projection_map import ProjectionMap
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import TRIAL_SIZES

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

BATCH_SIZE, TOKENS = 2, 7
# Of the largest number: float32 is far below, and any mistake far above.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class OwnProjections:
    """The output of a call with random projections beside the reference's.

    Attributes:
        what: the call, in words.
        error: the largest difference, as a share of the largest number.
        mistake: what the output equals instead of the reference's, where that is known.
    """

    what: str
    error: float
    mistake: Failure | None = None

    @property
    def is_right(self) -> bool:
        """Whether the output is the reference's."""
        return self.error <= TOLERANCE


def observe_own_projections(session: GradingSession) -> OwnProjections:
    """Run them once in a session; raises as `run_own_projections`."""
    if session.own_projections is None:
        attention, seed = session.submission.attention, session.settings.seed
        with session.clock.phase("probes"):
            session.own_projections = run_own_projections(attention, seed)
    return session.own_projections


def run_own_projections(attention: StudentAttention, seed: int) -> OwnProjections:
    """Call a submission with random projections, then with another text for the values and for the keys.

    Returns:
        The first call that is wrong, or the last one.

    Raises:
        NotApplicable: it has no projections, or norms behind them; the message says which.
        SubmissionError: it gave no answer.
    """
    if not isinstance(attention, ModuleAttention):
        raise NotApplicable("it has no projections")
    if attention.preparation is not None:
        raise NotApplicable("its query and key are normalised behind their projections")
    trial = _Trial(attention, attention.oracle.shape_for(*TRIAL_SIZES), seed)
    found = trial.run_with_biases()
    takes_values = {"key", "value"} <= attention.contract.roles and attention.oracle.takes_key_states
    if not found.is_right or "valid_lens" in attention.contract.roles:
        return found
    if takes_values:
        with contextlib.suppress(SubmissionError):  # it may insist that keys and values are one tensor
            found = trial.run_with_other_values()
    if found.is_right:
        with contextlib.suppress(SubmissionError):
            return trial.run_with_other_keys() or found
    return found


class _Trial:
    def __init__(self, attention: ModuleAttention, shape: ProjectionMap, seed: int) -> None:
        self.attention = attention
        self.shape = shape
        self.generator = torch.Generator().manual_seed(seed)
        self.width = shape.width or shape.num_heads * shape.head_dim
        self.biases = _biases_of(shape)
        self.projections = self._make_projections()
        self.states, self.other = (self._random(BATCH_SIZE, TOKENS, self.width) for _ in range(2))
        window = attention.sliding_window
        keep_mask = causal_keep_mask(TOKENS, TOKENS, sliding_window=window)
        self.keep_mask = keep_mask.expand(BATCH_SIZE, 1, TOKENS, TOKENS) | attention.is_bidirectional

    def run_with_biases(self) -> OwnProjections:
        output = self._call()
        error = self._error(output, self.projections)
        what = "with random matrices" + (" and biases" if self.biases else "")
        if error <= TOLERANCE:
            return OwnProjections(what, error)
        return OwnProjections(what, error, self._mistake(output))

    def run_with_other_values(self) -> OwnProjections:
        output = self._call(self.other)
        what = "with a text for the values that is not that of the keys"
        error = self._error(output, self.projections, self.other)
        if error > TOLERANCE and self._error(output, self.projections) <= TOLERANCE:
            words = "with another text as the value the output stays the same"
            return OwnProjections(what, error, Failure(name="malformed-reply", message=words))
        return OwnProjections(what, error)

    def run_with_other_keys(self) -> OwnProjections | None:
        """Another text for keys and values, as cross-attention has it; None where it takes none, or as is right.

        What it hides of the other text is its own affair, and so is what else it makes of it: only what is surely
        wrong counts.
        """
        contract = contract_for_two_texts(self.attention)
        if contract is None:
            return None
        inputs = replace(self._inputs(self.projections, None), key_states=self.other)
        with torch.no_grad():
            output = self._merged(replace(self.attention.oracle, contract=contract).forward(self.shape, inputs).output)
        keep_masks = (self.keep_mask, torch.ones_like(self.keep_mask))
        right = [self._difference(output, replace(inputs, keep_mask=mask)) for mask in keep_masks]
        if min(right) <= TOLERANCE:
            return None
        for words, (query, key, value) in other_texts(self.states, self.other):
            for mask in keep_masks:
                wrong = replace(inputs, query_states=query, key_states=key, value_states=value, keep_mask=mask)
                if self._difference(output, wrong) <= TOLERANCE:
                    failure = Failure(name="malformed-reply", message=f"with another text for the keys {words}")
                    return OwnProjections("with another text for the keys and values", min(right), failure)
        return None

    def _mistake(self, output: Tensor) -> Failure | None:
        """Mistake that gives exactly this output; None where it is none of the known ones."""
        wrong = chain(
            self._wrong_biases(),
            transposed_projections(self.projections),
            unprojected(self.projections),
            values_projected_as_output(self.projections),
        )
        for words, projections in wrong:
            if self._error(output, projections) <= TOLERANCE:
                return Failure(name="malformed-reply", message=words)
        merged = self._expected(self._inputs(replace(self.projections, w_o=None, b_o=None), None))
        heads = merged.unflatten(-1, (self.shape.num_heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
        for words, expected in misplaced_output_projections(heads, self.projections):
            if _relative_error(output, expected) <= TOLERANCE:
                return Failure(name="malformed-reply", message=words)
        return None

    def _wrong_biases(self) -> Iterator[tuple[str, Projections]]:
        """The projections without some of the biases, and with one of them twice, each with its words."""
        for number in range(1, len(self.biases) + 1):
            for missing in combinations(self.biases, number):
                names = " and ".join(self.biases[letter] for letter in missing)
                words = f"the bias of {names} is not added" if number == 1 else f"the biases of {names} are not added"
                nothing: dict[str, Any] = {f"b_{letter}": None for letter in missing}
                yield words, replace(self.projections, **nothing)
        for letter, name in self.biases.items():
            twice = 2 * getattr(self.projections, f"b_{letter}")
            yield f"the bias of {name} is added twice", replace(self.projections, **{f"b_{letter}": twice})

    def _make_projections(self) -> Projections:
        heads, head_dim, width = self.shape.num_heads, self.shape.head_dim, self.width
        numbers = {"q": heads, "k": self.shape.key_value_heads, "v": self.shape.key_value_heads}
        weights = {f"w_{letter}": self._random(width, number, head_dim) for letter, number in numbers.items()}
        biases = {f"b_{letter}": self._random(numbers[letter], head_dim) for letter in numbers if letter in self.biases}
        if self.shape.has_output:
            weights["w_o"] = self._random(heads, head_dim, self.shape.out_features)
            if "o" in self.biases:
                biases["b_o"] = self._random(self.shape.out_features)
        return Projections(**{name: weight / width**0.5 for name, weight in weights.items()}, **biases)

    def _random(self, *sizes: int) -> Tensor:
        return torch.randn(sizes, generator=self.generator)

    def _inputs(self, projections: Projections, value_states: Tensor | None) -> ProjectedInputs:
        return ProjectedInputs(self.states, self.states, projections, self.keep_mask, value_states=value_states)

    def _call(self, value_states: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            output = self.attention.oracle.forward(self.shape, self._inputs(self.projections, value_states)).output
        return self._merged(output)

    def _merged(self, output: Tensor) -> Tensor:
        if self.shape.has_output:
            return output
        return heads_of(output, self.shape, self.attention.conventions.layout).transpose(1, 2).flatten(2)

    def _error(self, output: Tensor, projections: Projections, value_states: Tensor | None = None) -> float:
        return self._difference(output, self._inputs(projections, value_states))

    def _difference(self, output: Tensor, inputs: ProjectedInputs) -> float:
        return _relative_error(output, self._expected(inputs))

    def _expected(self, inputs: ProjectedInputs) -> Tensor:
        return self.attention.reference.forward(self.shape, inputs).output


def contract_for_two_texts(attention: ModuleAttention) -> Contract | None:
    """The contract for keys and values from another text than the queries; None where it takes one text only."""
    contract = attention.contract
    if attention.conventions.rotation is not None or attention.conventions.one_at_a_time:
        return None
    if "key" in contract.roles:
        return contract if attention.oracle.takes_key_states else None
    optional = [
        each.name
        for each in contract.candidate.called.parameters
        if each.default == "None" and each.name.lower().strip("_") in KEY_TEXTS
    ]
    if len(optional) != 1 or contract.kind != "module" or "hidden_states" not in contract.roles:
        return None
    return contract.with_other_roles({"hidden_states": "query"}).with_role("key", optional[0])


def _relative_error(output: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    if output.shape != expected.shape:
        return float("inf")
    error = float((output - expected).abs().max() / expected.abs().max())
    return float("inf") if math.isnan(error) else error


def _biases_of(shape: ProjectionMap) -> dict[str, str]:
    """The projections that have a bias, by their letters, with the names of the parameters where they are known."""
    found: dict[str, str] = {}
    for role, places in shape.inputs.items():
        if all(place.bias is not None for place in places):
            found |= {letter: f"the {NAMES[letter]} projection ({places[0].bias})" for letter in role}
    if not shape.inputs and shape.has_input_biases:
        found = {letter: f"the {NAMES[letter]} projection" for letter in "qkv"}
    if shape.has_output and shape.has_output_bias:
        name = None if shape.output is None else shape.output.bias
        found["o"] = f"the output projection ({name})" if name else "the output projection"
    return found
