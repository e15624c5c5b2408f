"""The recipes: what each embedded model is trained on when, how fast, and what helps at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .checkpoint import MINI_LLAMA_SIZE, MINI_SIZE, ModelSize
from .text import DEFAULT_MIX

SEED = 3
MATRIX_LEARNING_RATE = 0.02
OTHER_LEARNING_RATE = 3e-3
WARMUP_STEPS = 100
DECAY_STEPS = 600
# During these steps, less and less, two heads are drawn towards what they shall become.
NUDGED_STEPS = 600
NUDGE_WEIGHT = 0.5
# (layer, head) drawn towards the previous token, and towards induction
PREVIOUS_TOKEN_HEAD, INDUCTION_HEAD = (0, 0), (1, 0)


@dataclass(frozen=True)
class Phase:
    """A stretch of training on rows of one length."""

    steps: int
    rows_per_step: int
    row_len: int
    # share of the rows that are random tokens of the whole vocabulary, repeated
    random_share: float
    mix: Mapping[str, float]
    # the weight in the loss of an answer token, which follows from the text before it: such tokens are few
    answer_weight: float = 1.0
    # the weight of the extra loss that draws a head towards the first content word of its sentence
    sentence_nudge: float = 0.0
    # the weight of the extra loss that draws two heads towards where the answer stands
    answer_nudge: float = 0.0
    # rows are generated for so many steps where the phase is left before it has used them all
    generated_steps: int | None = None


COPYING_MIX: Mapping[str, float] = {"story": 0.1, "binding": 0.5, "list copying": 0.1, "repeated string": 0.3}
REPETITION = Phase(steps=600, rows_per_step=32, row_len=64, random_share=0.5, mix=COPYING_MIX)
STORIES = Phase(steps=1_000, rows_per_step=32, row_len=64, random_share=0.08, mix=DEFAULT_MIX)
ANSWERS = replace(STORIES, answer_weight=5.0)
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
    answer_weight=10.0,
    mix=BINDING_MIX,
    answer_nudge=1.0,
)
MORE_BINDINGS = replace(BINDINGS, steps=1_600, generated_steps=None)
LONG_ANSWERS = replace(ANSWERS, steps=100, rows_per_step=8, row_len=256)


@dataclass(frozen=True)
class Recipe:
    """The size, the phases of training and the start of one model.

    Args:
        name: what the model is called.
        size: its type and sizes.
        phases: what it is trained on, in order.
        sentence_head: the (layer, head) that is drawn towards its sentence's first content word.
        answer_heads: those that are drawn towards where the answer stands.
        starts_from_mini: whether the embeddings start as those of `mini` instead of noise.
        autocast: whether the forward pass computes in bfloat16 where that is safe, which takes two thirds of the time.
    """

    name: str
    size: ModelSize
    phases: tuple[Phase, ...]
    sentence_head: tuple[int, int]
    answer_heads: tuple[tuple[int, int], ...]
    starts_from_mini: bool = False
    autocast: bool = False


MINI = Recipe(
    name="mini",
    size=MINI_SIZE,
    phases=(
        REPETITION,
        STORIES,
        ANSWERS,
        PHASE_4,
        SENTENCES,
        PHASE_6,
        BINDINGS,
        MORE_BINDINGS,
        LONG_ANSWERS,
    ),
    sentence_head=(0, 1),
    answer_heads=((1, 1), (2, 0)),
)

# The extra losses begin at once: the recipe of `mini` found out on the way that bindings need them.
MINI_LLAMA = Recipe(
    name="mini-llama",
    size=MINI_LLAMA_SIZE,
    phases=(
        replace(REPETITION, steps=300),
        replace(ANSWERS, steps=500, sentence_nudge=0.5, answer_nudge=0.5),
        replace(BINDINGS, steps=1_400, generated_steps=None),
        replace(ANSWERS, steps=300, sentence_nudge=0.5, answer_nudge=0.5),
        replace(LONG_ANSWERS, steps=60),
    ),
    # head 2 reads the other key/value head than head 0, so that a model whose groups are tiled loses both
    sentence_head=(0, 2),
    answer_heads=((1, 2), (2, 0)),
    starts_from_mini=True,
    autocast=True,
)
RECIPES = {recipe.name: recipe for recipe in (MINI, MINI_LLAMA)}
