"""Measure what each mistake of the catalogue does to a model: attention maps, loss, next token, gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, AttentionFunction, InProcessAttention, build_probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import AttnGraderError
from pytest_attn_grader.grading.comparison import compare_on_prompt
from pytest_attn_grader.model_utils import replace_attention_mechanism
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.results.comparison import AttentionMap, ChangedPrediction, most_different
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE

if TYPE_CHECKING:
    from pytest_attn_grader.misconceptions import Misconception
    from pytest_attn_grader.models.types import LoadedModel

LAYER = 0
SEED = 0
# The errors of a program that is wrong: a mistake's code is run as it is.
CODE_ERRORS = (
    *(AttnGraderError, RuntimeError, ValueError, LookupError, TypeError, NameError, SyntaxError),
    *(AttributeError, AssertionError, ArithmeticError, ImportError, OSError),
)


@dataclass(frozen=True)
class Measurement:
    """Effect of one mistake on the model, in layer `LAYER`.

    Attributes:
        error: why the model could not run with this attention; the other fields are then empty.
        head: the head whose attention map differs most.
        gradient_ratio: length of the gradient of the queries, relative to the reference's; NaN when there is none.
    """

    error: str = ""
    tokens: tuple[str, ...] = ()
    head: AttentionMap | None = None
    total_variation: float = 0.0
    reference_loss: float = math.nan
    student_loss: float = math.nan
    changed: ChangedPrediction | None = None
    gradient_ratio: float = math.nan


def measure_mistake(misconception: Misconception, loaded: LoadedModel) -> Measurement:
    """Run the usual form of a mistake inside the model."""
    prompt = tokenize_prompt(PROMPT_EXAMPLE, loaded)
    try:
        student_model = replace_attention_mechanism(loaded.model, misconception.attention, LAYER)
        compared = compare_on_prompt(loaded, student_model, prompt, layer_idx=LAYER)
    except CODE_ERRORS as error:
        return Measurement(error=f"{type(error).__name__}: {error}".partition("\n")[0])
    return Measurement(
        tokens=prompt.tokens,
        head=compared.worst_map,
        total_variation=float(most_different(compared.heads_of_layer).total_variation),
        reference_loss=float(compared.predictions.reference_loss),
        student_loss=float(compared.predictions.student_loss),
        changed=compared.clearest_change,
        gradient_ratio=_gradient_ratio(misconception.attention),
    )


def _gradient_ratio(attention: AttentionFunction) -> float:
    """Return the length of all gradients of the basic probe, relative to the reference's."""
    lengths = []
    for function in (attention, reference_attention):
        probe = build_probe(SPEC_BY_NAME["basic"], seed=SEED)
        try:
            gradients = InProcessAttention(function).run_probe(probe).gradients.values()
        except CODE_ERRORS:
            return math.nan
        lengths.append(math.hypot(*(float(each.norm()) for each in gradients if each is not None)))
    return lengths[0] / lengths[1]
