"""Prompts to show people: right with the model's own attention, visibly wrong when layer 0 is broken."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from pytest_attn_grader.models.mini.model import MiniModel

from .interventions import attend_uniformly, break_first_layer, patch_layer
from .predictions import continue_greedily

SHOWCASE_FILE = "showcase.json"
# text -> how its continuation must begin
SHOWCASE_PROMPTS = {
    "Tom gave Ann a ball. Ann thanked": " Tom",
    "The cat sat on the mat. The dog slept on the rug. The cat sat on the": " mat",
    "The ball is in the box. The key is in the jar. The ball is in the": " box",
    "Tom went to the park. Ann went to the lake. Tom is at the": " park",
    "Sam has a red kite. Lily has a blue drum. The drum belongs to": " Lily",
    "List: pear, cup, key, drum. Again: pear, cup, key,": " drum",
    "Say: stone river queen seven lamp stone river queen": " seven",
    'Mary said, "The cup is new." Ben did not hear her. So Mary said again, "The cup is': " new",
}


def build_showcase(
    model: MiniModel, tokenizer: PreTrainedTokenizerFast
) -> list[dict[str, str | bool | dict[str, str]]]:
    """Each prompt, how it must go on, how it goes on, and how it goes on with each wrong attention in layer 0."""
    showcase: list[dict[str, str | bool | dict[str, str]]] = []
    broken_models = {"uniform attention": patch_layer(model, attend_uniformly), **break_first_layer(model)}
    for text, right in SHOWCASE_PROMPTS.items():
        continuation = continue_greedily(model, tokenizer, text)
        broken = {name: continue_greedily(one, tokenizer, text) for name, one in broken_models.items()}
        showcase.append(
            {
                "prompt": text,
                "right": right,
                "continuation": continuation,
                "is_right": continuation.startswith(right),
                "with_wrong_attention_in_layer_0": broken,
            }
        )
    return showcase


def write_showcase(model: MiniModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the showcase as JSON into a folder."""
    text = json.dumps(build_showcase(model, tokenizer), indent=1)
    (folder / SHOWCASE_FILE).write_text(text + "\n", encoding="utf-8")
