"""The recipe: what is trained on when, how fast, and what helps at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .text import DEFAULT_MIX

SEED = 3
MATRIX_LEARNING_RATE = 0.02
OTHER_LEARNING_RATE = 3e-3
WARMUP_STEPS = 100
DECAY_STEPS = 600
# During these steps, less and less, two heads are drawn towards what they shall become.
NUDGED_STEPS = 600
NUDGE_WEIGHT = 0.5
# (layer, head) drawn towards the previous token, towards induction, towards its sentence's first content word
PREVIOUS_TOKEN_HEAD, INDUCTION_HEAD, SENTENCE_HEAD = (0, 0), (1, 0), (0, 1)
# and two who are drawn towards where the answer stands
ANSWER_HEADS = ((1, 1), (2, 0))


@dataclass(frozen=True)
class Phase:
    """A stretch of training on rows of one length."""

    steps: int
    rows_per_step: int
    row_len: int
    # share of the rows that are random tokens of the whole vocabulary, repeated
    random_share: float
    mix: Mapping[str, float]
    # how much more than another token one counts that the text before it tells: there are few, and all depends on them
    told_weight: float = 1.0
    # the weight of the extra loss that draws a head towards the first content word of its sentence
    sentence_nudge: float = 0.0
    # the weight of the extra loss that draws two heads towards where the answer stands
    answer_nudge: float = 0.0
    # rows are generated for so many steps where the phase is left before it has used them all
    generated_steps: int | None = None


COPYING_MIX: Mapping[str, float] = {"story": 0.1, "binding": 0.5, "list copying": 0.1, "repeated string": 0.3}
REPETITION = Phase(steps=600, rows_per_step=32, row_len=64, random_share=0.5, mix=COPYING_MIX)
STORIES = Phase(steps=1_000, rows_per_step=32, row_len=64, random_share=0.08, mix=DEFAULT_MIX)
ANSWERS = replace(STORIES, told_weight=5.0)
# Here bindings had come to a halt, and in PHASE_6 once more; what follows each of them got them going again.
PHASE_4 = replace(ANSWERS, steps=800, generated_steps=1_000)
SENTENCES = replace(ANSWERS, steps=700, sentence_nudge=0.5)
PHASE_6 = replace(SENTENCES, steps=300, generated_steps=700)
BINDING_MIX: Mapping[str, float] = {"story": 0.1, "binding": 0.8, "list copying": 0.05, "repeated string": 0.05}
BINDINGS = replace(
    SENTENCES,
    steps=500,
    generated_steps=600,
    sentence_nudge=1.0,
    told_weight=10.0,
    mix=BINDING_MIX,
    answer_nudge=1.0,
)
MORE_BINDINGS = replace(BINDINGS, steps=1_600, generated_steps=None)
LONG_ANSWERS = replace(ANSWERS, steps=100, rows_per_step=8, row_len=256)
CURRICULUM = (
    REPETITION,
    STORIES,
    ANSWERS,
    PHASE_4,
    SENTENCES,
    PHASE_6,
    BINDINGS,
    MORE_BINDINGS,
    LONG_ANSWERS,
)
