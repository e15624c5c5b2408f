"""Measure a model: `python -m pytest_attn_grader.models.mini.training.measure [--model NAME]` prints the card's table.

Everything is measured on held-out text and from fixed seeds, so the same weights give the same figures. With `--write`
the figures, the showcase and the card are written into the model's folder.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from pytest_attn_grader.attention.head_scores import previous_token_score
from pytest_attn_grader.models.mini import FOLDER, get_folder
from pytest_attn_grader.models.mini.model import WEIGHTS_FILE, MiniModel, load_model, load_tokenizer

from .benchmarks import MEASUREMENTS, Figure, render_table, write_figures
from .curriculum import RECIPES, Recipe
from .interventions import attend_uniformly, break_first_layer, patch_layer
from .model_card import write_card
from .predictions import encode_answers, encode_prompts, measure_loss, predict_next, share_equal
from .showcase import write_showcase
from .text import PROMPT_KINDS, write_documents, write_prompts
from .tokenizer import encode_documents, pack_rows, repeat_random_tokens
from .trigram import KneserNeyTrigram

PROMPTS_PER_KIND = 200
LOSS_ROWS, LOSS_ROW_LEN = 160, 128
# What the trigram learns from: the amount that serves it best. From more text it grows surer of the pairs that training
# text joins, and held-out text joins others.
TRIGRAM_DOCUMENTS = 30_000
# Training reads seeds from 0 upwards in steps of ten million a phase; any seed will do, these are merely others.
TRIGRAM_FIRST_SEED = 900_000_000
HEAD_ROWS, HEAD_PERIOD, HEAD_SEED = 16, 24, 5
LOAD_RUNS = 5
LOAD_SCRIPT = """
import sys, time
from pathlib import Path
import torch, transformers.models.gpt2.modeling_gpt2, transformers.models.llama.modeling_llama
import transformers.tokenization_utils_fast
from pytest_attn_grader.attention.head_scores import previous_token_score
from pytest_attn_grader.models.mini import FOLDER
from pytest_attn_grader.models.mini.model import load_model, load_tokenizer
started = time.perf_counter()
load_model(Path(sys.argv[1])), load_tokenizer(FOLDER)
print(time.perf_counter() - started)
"""
ACCURACY_BARS = {"binding": 0.90, "list copying": 0.95, "repeated string": 0.90}


@dataclass(frozen=True)
class Questions:
    """The held-out prompts of one kind as tokens, and their answers."""

    prompts: list[list[int]]
    answers: list[int]


def read_questions(tokenizer: PreTrainedTokenizerFast, count: int) -> dict[str, Questions]:
    """This many held-out prompts of each kind."""
    questions = {}
    for kind in PROMPT_KINDS:
        prompts = write_prompts(kind, count)
        questions[kind] = Questions(encode_prompts(tokenizer, prompts), encode_answers(tokenizer, prompts))
    return questions


def read_held_out_rows(tokenizer: PreTrainedTokenizerFast, rows: int, *, kind: str | None = None) -> torch.Tensor:
    """Packed rows of held-out text: of one kind of document, or of the mix the model was trained on."""
    documents = (
        write_documents(rows * LOSS_ROW_LEN, "held_out", mix={kind: 1.0})
        if kind
        else write_documents(rows * LOSS_ROW_LEN, "held_out")
    )
    encoded = encode_documents(tokenizer.backend_tokenizer, documents)
    return torch.from_numpy(pack_rows(encoded, rows, LOSS_ROW_LEN).astype(np.int64))


def train_trigram(tokenizer: PreTrainedTokenizerFast) -> KneserNeyTrigram:
    """The baseline, from training text of the same mix."""
    documents = write_documents(TRIGRAM_DOCUMENTS, "train", first_seed=TRIGRAM_FIRST_SEED)
    ids = [token for document in encode_documents(tokenizer.backend_tokenizer, documents) for token in document]
    return KneserNeyTrigram(np.array(ids, dtype=np.int64), len(tokenizer))


def measure_accuracies(model: MiniModel, questions: Mapping[str, Questions]) -> dict[str, float]:
    """The share of right next tokens for each kind of prompt."""
    return {kind: share_equal(predict_next(model, one.prompts), one.answers) for kind, one in questions.items()}


def measure_size_and_speed(model: MiniModel, folder: Path) -> list[Figure]:
    """Parameters, bytes, and the time to load in fresh processes."""
    runs = [
        float(subprocess.run([sys.executable, "-c", LOAD_SCRIPT, folder], capture_output=True, check=True).stdout)
        for _ in range(LOAD_RUNS)
    ]
    return [
        Figure("parameters", model.num_parameters(), at_most=4_000_000),
        Figure("bytes of weights", (folder / WEIGHTS_FILE).stat().st_size, at_most=8_000_000),
        Figure("seconds to load", statistics.median(runs), at_most=0.2, note=f"median of {LOAD_RUNS} fresh processes"),
    ]


def measure_losses(model: MiniModel, tokenizer: PreTrainedTokenizerFast, trigram: KneserNeyTrigram) -> list[Figure]:
    """Held-out losses of model and trigram, for the mix and for each kind of document."""
    figures = []
    end: int = tokenizer.eos_token_id
    for kind in (None, "story", *PROMPT_KINDS):
        rows = read_held_out_rows(tokenizer, LOSS_ROWS if kind is None else LOSS_ROWS // 4, kind=kind)
        loss, baseline = measure_loss(model, rows), trigram.loss(rows.numpy(), before=end)
        text = f", {kind} documents" if kind else ""
        figures += [
            Figure(f"held-out loss{text}", loss),
            Figure(f"trigram's held-out loss{text}", baseline),
            Figure(f"nats below the trigram{text}", baseline - loss, at_least=None if kind else 0.4),
        ]
    return figures


def measure_layers(model: MiniModel, questions: Mapping[str, Questions], rows: torch.Tensor) -> list[Figure]:
    """The rise of the loss and the accuracies when one layer attends uniformly."""
    loss = measure_loss(model, rows)
    figures = []
    for layer_idx in range(model.config.num_hidden_layers):
        uniform = patch_layer(model, attend_uniformly, layer_idx=layer_idx)
        raised = measure_loss(uniform, rows) - loss
        figures.append(Figure(f"loss raised by uniform layer {layer_idx}", raised, at_least=0.05 if layer_idx else 1.0))
        if layer_idx == 0:
            figures += [
                Figure(f"{kind} with uniform layer 0", accuracy, at_most=0.30)
                for kind, accuracy in measure_accuracies(uniform, questions).items()
            ]
    return figures


def measure_mistakes(model: MiniModel, questions: Mapping[str, Questions]) -> list[Figure]:
    """The share of held-out prompts whose top-1 prediction a mistake in layer 0 changes."""
    prompts = [prompt for one in questions.values() for prompt in one.prompts]
    right = predict_next(model, prompts)
    figures = []
    for name, broken in break_first_layer(model).items():
        changed = 1 - share_equal(predict_next(broken, prompts), right)
        figures.append(Figure(f"predictions changed by {name}", changed, at_least=0.30))
    return figures


def induction_scores(attn_weights: torch.Tensor, *, period: int) -> torch.Tensor:
    """On rows that repeat with this period: the mean over rows and t >= period of the weight from t on t - period + 1.

    That is the token which followed the present token one round ago. attn_weights: (batch, num_heads, seq_len,
    seq_len); returns (num_heads,).
    """
    return attn_weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


@torch.inference_mode()
def read_attention(model: MiniModel, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The weights of every layer, each (batch, num_heads, seq_len, seq_len)."""
    attentions: tuple[torch.Tensor, ...] = model(rows, output_attentions=True, use_cache=False).attentions
    return attentions


def best_head(scores_by_layer: list[torch.Tensor]) -> tuple[int, int, float]:
    """Layer, head and score of the head with the highest score of all layers."""
    scores = torch.stack(scores_by_layer)
    layer_idx, head_idx = divmod(int(scores.argmax()), scores.shape[1])
    return layer_idx, head_idx, float(scores.max())


def measure_heads(model: MiniModel, rows: torch.Tensor) -> list[Figure]:
    """The best previous-token head on held-out text and the best induction head on repeated random tokens."""
    previous = best_head(
        [previous_token_score(weights).mean(dim=0) for weights in read_attention(model, rows[:HEAD_ROWS])]
    )
    repeated = repeat_random_tokens(
        np.random.default_rng(HEAD_SEED), HEAD_ROWS, 3 * HEAD_PERIOD, model.config.vocab_size, period=HEAD_PERIOD
    )
    weights_by_layer = read_attention(model, torch.from_numpy(repeated.astype(np.int64)))
    induction = best_head([induction_scores(weights, period=HEAD_PERIOD) for weights in weights_by_layer])
    return [
        Figure(f"best {name} score", score, at_least=0.5, note=f"layer {layer_idx}, head {head_idx}")
        for name, (layer_idx, head_idx, score) in (("previous-token", previous), ("induction", induction))
    ]


def measure_model(folder: Path) -> list[Figure]:
    """Every figure of the card."""
    model, tokenizer = load_model(folder), load_tokenizer(FOLDER)
    questions = read_questions(tokenizer, PROMPTS_PER_KIND)
    rows = read_held_out_rows(tokenizer, LOSS_ROWS)
    accuracies = measure_accuracies(model, questions)
    return [
        *measure_size_and_speed(model, folder),
        *measure_losses(model, tokenizer, train_trigram(tokenizer)),
        *(Figure(f"{kind} right", accuracies[kind], at_least=bar) for kind, bar in ACCURACY_BARS.items()),
        *measure_layers(model, questions, rows),
        *measure_mistakes(model, questions),
        *measure_heads(model, rows),
    ]


def write_measurements(recipe: Recipe, folder: Path, measurements: Path) -> list[Figure]:
    """Measure the model in a folder, write its card there, and its figures and showcase into another folder."""
    figures = measure_model(folder)
    write_figures(figures, measurements)
    write_showcase(load_model(folder), load_tokenizer(FOLDER), measurements)
    write_card(recipe, folder, measurements, trigram_documents=TRIGRAM_DOCUMENTS)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure an embedded model on held-out text.")
    parser.add_argument("--model", choices=tuple(RECIPES), default="mini", help="which of the embedded models")
    parser.add_argument("--write", action="store_true", help="write figures, showcase and card")
    options = parser.parse_args(arguments)
    folder = get_folder(options.model)
    if options.write:
        figures = write_measurements(RECIPES[options.model], folder, MEASUREMENTS / options.model)
    else:
        figures = measure_model(folder)
    print(render_table(figures))


if __name__ == "__main__":
    main()
