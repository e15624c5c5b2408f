"""The model card: how the model was made, in words and from the recipe's own constants, and what was measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .benchmarks import Figure, load_figures, render_table
from .curriculum import (
    DECAY_STEPS,
    MATRIX_LEARNING_RATE,
    NUDGED_STEPS,
    OTHER_LEARNING_RATE,
    SEED,
    WARMUP_STEPS,
    Recipe,
)
from .showcase import SHOWCASE_FILE
from .text import DEFAULT_MIX

CARD_FILE = "MODEL_CARD.md"
TEMPLATE_FILE = "card_template.md"
# Why a bar is not met, by the figure's name; a figure that misses its bar and is not here is an error.
REASONS = {
    "binding right": (
        "it was trained for 2,560 steps, fewer than half of those of `mini`. What is at a place, and what belongs to "
        "whom, is right less often than what is in a container."
    ),
    "predictions changed by no scale": (
        "the prompts need the token before and the word a sentence is about, each read by a head that puts most of its "
        "weight on that one token. Larger scores only make it sharper. Weights and outputs of the layer show this "
        "mistake; predictions do not."
    ),
    "predictions changed by no mask": (
        "the heads of layer 0 that were drawn to an earlier token mostly still find it when they see the future. The "
        "weights on the future show this mistake; predictions show it less often."
    ),
    "predictions changed by softmax over queries": (
        "where a head puts all its weight on the token before, its columns sum to one nearly as its rows do."
    ),
}


def render_phases(recipe: Recipe) -> str:
    """The phases of a recipe as a Markdown table, equal phases joined."""
    lines = [
        "| steps | rows a step | tokens a row | random rows | answer weight | drawn to sentence | to answer "
        "| documents |",
        "|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for phase, equal in itertools.groupby(recipe.phases):
        steps, mix = phase.steps * len(list(equal)), render_mix(phase.mix)
        cells = (
            f"{steps:,}",
            f"{phase.rows_per_step}",
            f"{phase.row_len}",
            f"{phase.random_share:.0%}",
            f"{phase.answer_weight:g}",
            f"{phase.sentence_nudge:g}",
            f"{phase.answer_nudge:g}",
            mix,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def render_mix(mix: Mapping[str, float]) -> str:
    """Shares in words."""
    return ", ".join(f"{kind} {share:.0%}" for kind, share in mix.items())


def render_missed(figures: Sequence[Figure]) -> str:
    """A section on the bars that are not met, or nothing."""
    missed = [figure for figure in figures if not figure.is_met]
    lines = [f"- **{figure.name}**: {REASONS[figure.name]}" for figure in missed]
    return "\n".join(["### Not reached", "", *lines, "", ""]) if lines else ""


def render_showcase(showcase: Sequence[dict[str, Any]]) -> str:
    """The showcase as a Markdown table."""
    lines = ["| prompt | goes on | with uniform attention |", "|---|---|---|"]
    for entry in showcase:
        broken = entry["with_wrong_attention_in_layer_0"]["uniform attention"]
        lines.append(f"| {entry['prompt']} | {entry['continuation'].strip()} | {broken.strip()} |")
    return "\n".join(lines)


def render_card(recipe: Recipe, measurements: Path, *, trigram_documents: int) -> str:
    """The card of a model whose figures and showcase are in a folder."""
    figures = list(load_figures(measurements).values())
    texts = Path(__file__).parent / "card_texts" / recipe.name
    template = (Path(__file__).parent / TEMPLATE_FILE).read_text(encoding="utf-8")
    return template.format(
        **asdict(recipe.size),
        **{text.stem: text.read_text(encoding="utf-8").strip() for text in texts.glob("*.md")},
        name=recipe.name,
        mix=render_mix(DEFAULT_MIX),
        seed=SEED,
        matrix_learning_rate=MATRIX_LEARNING_RATE,
        other_learning_rate=OTHER_LEARNING_RATE,
        warmup_steps=WARMUP_STEPS,
        decay_steps=f"{DECAY_STEPS:,}",
        sentence_head=render_head(recipe.sentence_head),
        answer_heads=" and ".join(render_head(head) for head in recipe.answer_heads),
        nudged_steps=NUDGED_STEPS,
        phases=render_phases(recipe),
        table=render_table(figures),
        trigram_documents=f"{trigram_documents:,}",
        missed=render_missed(figures),
        showcase=render_showcase(json.loads((measurements / SHOWCASE_FILE).read_text(encoding="utf-8"))),
    )


def render_head(head: tuple[int, int]) -> str:
    """A (layer, head) in words."""
    layer_idx, head_idx = head
    return f"head {head_idx} of layer {layer_idx}"


def write_card(recipe: Recipe, folder: Path, measurements: Path, *, trigram_documents: int) -> None:
    """Write the card into its model's folder."""
    card = render_card(recipe, measurements, trigram_documents=trigram_documents)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
