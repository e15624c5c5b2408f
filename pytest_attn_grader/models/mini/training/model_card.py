"""The model card: how the model was made, in words and from the recipe's own constants, and what was measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_attn_grader.models.mini.model import CONFIG_FILE

from .benchmarks import Figure, load_figures, render_table
from .curriculum import (
    DECAY_STEPS,
    MATRIX_LEARNING_RATE,
    MINI,
    NUDGED_STEPS,
    OTHER_LEARNING_RATE,
    SEED,
    WARMUP_STEPS,
)
from .showcase import SHOWCASE_FILE
from .text import DEFAULT_MIX

CARD_FILE = "MODEL_CARD.md"
TEMPLATE_FILE = "card_template.md"
# Why a bar is not met, by the figure's name; a figure that misses its bar and is not here is an error.
REASONS = {
    "binding right": (
        "thanking a giver is learnt; where something is, and what is there, is right less often. It takes two steps of "
        "attention (what is this sentence about, and where was that said before), which came late in training."
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


def render_phases() -> str:
    """The curriculum as a Markdown table, equal phases joined."""
    lines = [
        "| steps | rows a step | tokens a row | random rows | told | drawn to sentence | to answer | documents |",
        "|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for phase, equal in itertools.groupby(MINI.phases):
        steps, mix = phase.steps * len(list(equal)), render_mix(phase.mix)
        cells = (
            f"{steps:,}",
            f"{phase.rows_per_step}",
            f"{phase.row_len}",
            f"{phase.random_share:.0%}",
            f"{phase.told_weight:g}",
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


def render_card(folder: Path, *, trigram_documents: int) -> str:
    """The card of the model in a folder that holds its config, figures and showcase."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    figures = list(load_figures(folder).values())
    template = (Path(__file__).parent / TEMPLATE_FILE).read_text(encoding="utf-8")
    return template.format(
        num_layers=config["n_layer"],
        num_heads=config["n_head"],
        hidden_size=config["n_embd"],
        inner_size=config["n_inner"],
        positions=config["n_positions"],
        vocabulary_size=config["vocab_size"],
        mix=render_mix(DEFAULT_MIX),
        seed=SEED,
        matrix_learning_rate=MATRIX_LEARNING_RATE,
        other_learning_rate=OTHER_LEARNING_RATE,
        warmup_steps=WARMUP_STEPS,
        decay_steps=f"{DECAY_STEPS:,}",
        nudged_steps=NUDGED_STEPS,
        phases=render_phases(),
        table=render_table(figures),
        trigram_documents=f"{trigram_documents:,}",
        missed=render_missed(figures),
        showcase=render_showcase(json.loads((folder / SHOWCASE_FILE).read_text(encoding="utf-8"))),
    )


def write_card(folder: Path, *, trigram_documents: int) -> None:
    """Write the card into its model's folder."""
    (folder / CARD_FILE).write_text(render_card(folder, trigram_documents=trigram_documents), encoding="utf-8")
