"""Train an embedded model from nothing: `python -m pytest_attn_grader.models.mini.training.train --out DIR`.

Everything follows from the seed. The batch of a step depends on the step's number only, so a run that was interrupted
goes on from its last checkpoint exactly as if it had not been.
"""

from __future__ import annotations

import argparse
import bisect
import functools
import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional as F

from pytest_attn_grader.models.mini import load_mini
from pytest_attn_grader.models.mini.model import END_OF_TEXT, MiniModel

from .auxiliary_losses import find_answers, find_followers, find_subjects, head_weights, nudge_loss
from .benchmarks import render_table
from .checkpoint import build_model, write_model, write_tokenizer
from .curriculum import (
    DECAY_STEPS,
    INDUCTION_HEAD,
    MATRIX_LEARNING_RATE,
    MINI,
    NUDGE_WEIGHT,
    NUDGED_STEPS,
    OTHER_LEARNING_RATE,
    PREVIOUS_TOKEN_HEAD,
    RECIPES,
    SEED,
    WARMUP_STEPS,
    Phase,
    Recipe,
)
from .measure import write_measurements
from .text import write_documents, write_marked_documents
from .text.words import NAMES, copied_words
from .tokenizer import (
    ANSWER_BIT,
    TOKENIZER_DOCUMENTS,
    encode_marked_documents,
    pack_rows,
    repeat_random_tokens,
    train_tokenizer,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

STEPS_BETWEEN_CHECKPOINTS = 100
SENTENCE_ENDS = ".?"
# Far more documents than any phase reads: each phase starts at other seeds.
SEEDS_PER_PHASE = 10_000_000


def write_rows(path: Path, phase: Phase, phase_index: int, tokenizer: Tokenizer) -> None:
    """Write the rows of a phase, generated and shuffled, unless they are there."""
    if path.exists():
        return
    rng = np.random.default_rng([SEED, phase_index])
    steps = phase.steps if phase.generated_steps is None else phase.generated_steps
    rows = steps * phase.rows_per_step
    random_rows = round(rows * phase.random_share)
    first_seed = phase_index * SEEDS_PER_PHASE
    documents = write_marked_documents(SEEDS_PER_PHASE, "train", mix=phase.mix, first_seed=first_seed)
    packed = np.concatenate(
        [
            pack_rows(encode_marked_documents(tokenizer, documents), rows - random_rows, phase.row_len),
            repeat_random_tokens(rng, random_rows, phase.row_len, tokenizer.get_vocab_size()),
        ]
    )
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as file:
        np.save(file, rng.permutation(packed))
    os.replace(temporary, path)


def start_positions_as_sinusoids(model: MiniModel) -> None:
    """Set a GPT-2's position embeddings to sinusoids: "the token before" is one rotation away from every position."""
    weight: torch.Tensor = model.get_submodule("transformer.wpe").weight  # type: ignore[assignment]  # an nn.Embedding
    positions, hidden_size = weight.shape
    frequencies = torch.exp(torch.arange(0, hidden_size, 2) * (-math.log(1_000.0) / hidden_size))
    angles = torch.arange(positions)[:, None] * frequencies
    with torch.no_grad():
        weight.copy_(torch.cat([angles.sin(), angles.cos()], dim=1) * model.config.initializer_range)


@dataclass(frozen=True)
class Batch:
    """The rows of one step; the tensors are (rows_per_step, row_len)."""

    phase: Phase

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    is_answer: torch.Tensor


class Trainer:
    """The model, its optimizers and how far it has come."""

    def __init__(
        self,
        recipe: Recipe,
        rows: Sequence[NDArray[np.uint16]],
        *,
        sentence_ends: Sequence[int],
        content: Sequence[int],
    ) -> None:
        torch.manual_seed(SEED)
        self.recipe = recipe
        self.model = build_model(recipe.size)
        self.model.set_attn_implementation("sdpa")
        is_gpt2 = recipe.size.model_type == "gpt2"
        if is_gpt2:
            start_positions_as_sinusoids(self.model)
        if recipe.starts_from_mini:
            self.model.get_input_embeddings().load_state_dict(load_mini()[0].get_input_embeddings().state_dict())
        self.phases = recipe.phases
        self.rows = rows
        self.sentence_ends = torch.tensor(sentence_ends)
        self.content = torch.tensor(content)
        self.total_steps = sum(phase.steps for phase in self.phases)
        self.step = 0
        named = list(self.model.named_parameters())
        layers = ".h." if is_gpt2 else ".layers."
        matrices = [parameter for name, parameter in named if layers in name and parameter.ndim == 2]
        others = [parameter for name, parameter in named if not (layers in name and parameter.ndim == 2)]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=MATRIX_LEARNING_RATE, weight_decay=0.01),
            torch.optim.AdamW(others, lr=OTHER_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
        )
        # each layer's attention, its input and the rotation of its positions, kept from the last forward pass
        self.inputs: dict[int, tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]] = {}
        blocks: Any = self.model.base_model.get_submodule("h" if is_gpt2 else "layers")
        self.attentions = [block.attn if is_gpt2 else block.self_attn for block in blocks]
        for layer_idx, attention in enumerate(self.attentions):
            attention.register_forward_pre_hook(functools.partial(self.keep_inputs, layer_idx), with_kwargs=True)
        self.schedules = [torch.optim.lr_scheduler.LambdaLR(one, self.learning_rate_factor) for one in self.optimizers]

    def keep_inputs(self, layer_idx: int, _module: torch.nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        """Keep what a layer's attention is called with (a forward hook)."""
        hidden_states = arguments[0] if arguments else named["hidden_states"]
        self.inputs[layer_idx] = hidden_states, named.get("position_embeddings")

    def learning_rate_factor(self, step: int) -> float:
        """Warm-up, a plateau, then a straight line down to zero."""
        return min(1.0, (step + 1) / WARMUP_STEPS, (self.total_steps - step) / DECAY_STEPS)

    def read_batch(self) -> Batch:
        """The batch of the present step."""
        ends = list(itertools.accumulate(phase.steps for phase in self.phases))
        index = bisect.bisect_right(ends, self.step)
        phase = self.phases[index]
        first = (self.step - ends[index] + phase.steps) * phase.rows_per_step
        rows = torch.from_numpy(self.rows[index][first : first + phase.rows_per_step].astype(np.int64))
        # Half of the rows stand somewhere in the context instead of at its start: short rows teach all positions.
        rng = np.random.default_rng([SEED, self.step])
        room = self.recipe.size.positions - phase.row_len
        starts = rng.integers(0, room + 1, size=len(rows)) * (rng.random(len(rows)) < 0.5)
        return Batch(
            phase=phase,
            input_ids=rows & (ANSWER_BIT - 1),
            position_ids=torch.from_numpy(starts)[:, None] + torch.arange(phase.row_len),
            is_answer=rows >= ANSWER_BIT,
        )

    def run_step(self) -> float:
        """One step; returns the loss in nats per token, answer tokens counting as much as the phase says."""
        batch = self.read_batch()
        input_ids = batch.input_ids
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.autocast):
            logits = self.model(input_ids, position_ids=batch.position_ids, use_cache=False).logits.float()
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten(), reduction="none")
        token_weights = torch.where(batch.is_answer[:, 1:].flatten(), batch.phase.answer_weight, 1.0)
        loss = (losses * token_weights).sum() / token_weights.sum()
        objective = loss + self.nudge_heads(batch)
        objective.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def nudge_heads(self, batch: Batch) -> torch.Tensor:
        """The extra loss of the present step, which draws a few heads towards what they shall become."""
        input_ids = batch.input_ids
        previous = torch.ones(input_ids.shape[1], input_ids.shape[1], dtype=torch.bool).tril(-1).triu(-1)
        early = NUDGE_WEIGHT * max(0.0, 1 - self.step / NUDGED_STEPS)
        loss = torch.zeros(())
        if early:
            loss = loss + early * nudge_loss(self.look(PREVIOUS_TOKEN_HEAD), previous.expand(len(input_ids), -1, -1))
            loss = loss + early * nudge_loss(self.look(INDUCTION_HEAD), find_followers(input_ids))
        if batch.phase.sentence_nudge:
            subjects = find_subjects(input_ids, self.sentence_ends, self.content)
            loss = loss + batch.phase.sentence_nudge * nudge_loss(self.look(self.recipe.sentence_head), subjects)
        if batch.phase.answer_nudge:
            answers = find_answers(input_ids, batch.is_answer)
            for head in self.recipe.answer_heads:
                loss = loss + batch.phase.answer_nudge * nudge_loss(self.look(head), answers)
        return loss

    def look(self, head: tuple[int, int]) -> torch.Tensor:
        """The attention weights of a (layer, head) in the last forward pass."""
        layer_idx, head_idx = head
        return head_weights(self.attentions[layer_idx], *self.inputs[layer_idx], head_idx)

    def write_checkpoint(self, path: Path) -> None:
        """Write all that the next step depends on; the old checkpoint stays until the new one is whole."""
        temporary = path.with_suffix(".partial")
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizers": [one.state_dict() for one in self.optimizers],
            "schedules": [one.state_dict() for one in self.schedules],
        }
        torch.save(state, temporary)
        os.replace(temporary, path)

    def read_checkpoint(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for one, saved in zip(self.optimizers, state["optimizers"], strict=True):
            one.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)


def train(folder: Path, *, recipe: Recipe = MINI, tokenizer_documents: int = TOKENIZER_DOCUMENTS) -> None:
    """Train in a folder, from its last checkpoint if it has one, until it holds weights, config and tokenizer."""
    phases = recipe.phases
    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        writing = progress.add_task("text", total=len(phases))
        documents = write_documents(tokenizer_documents, "train")
        tokenizer = train_tokenizer(documents, vocabulary_size=recipe.size.vocabulary_size)
        write_tokenizer(tokenizer, folder)
        paths = [folder / f"rows-{index}.npy" for index in range(len(phases))]
        for index, (path, phase) in enumerate(zip(paths, phases, strict=True)):
            write_rows(path, phase, index, tokenizer)
            progress.advance(writing)
        pieces: dict[str, int] = tokenizer.get_vocab()
        ends = [token for piece, token in pieces.items() if piece == END_OF_TEXT or set(piece) & set(SENTENCE_ENDS)]
        words = [*(f" {word}" for word in copied_words()), *NAMES]
        content = [encoding.ids[0] for encoding in tokenizer.encode_batch(words) if len(encoding.ids) == 1]
        all_rows = [np.load(path, mmap_mode="r") for path in paths]
        trainer = Trainer(recipe, all_rows, sentence_ends=ends, content=content)
        checkpoint = folder / "checkpoint.pt"
        if checkpoint.exists():
            trainer.read_checkpoint(checkpoint)
        training = progress.add_task("steps", total=trainer.total_steps, completed=trainer.step)
        while trainer.step < trainer.total_steps:
            loss = trainer.run_step()
            progress.update(training, completed=trainer.step, description=f"steps, loss {loss:.3f}")
            if trainer.step % STEPS_BETWEEN_CHECKPOINTS == 0 or trainer.step == trainer.total_steps:
                trainer.write_checkpoint(checkpoint)
                progress.console.print(f"step {trainer.step}: loss {loss:.3f}", highlight=False)
    write_model(trainer.model, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the embedded model from nothing; goes on where it was stopped.")
    parser.add_argument("--model", choices=tuple(RECIPES), default=MINI.name, help="which of the embedded models")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, weights and card")
    parser.add_argument("--threads", type=int, help="torch threads; 1 is fastest where others use the processors too")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    # Here and not in train(): it changes the arithmetic of the whole process, which is the caller's.
    torch.set_flush_denormal(True)
    recipe = RECIPES[options.model]
    train(options.out, recipe=recipe)
    print(render_table(write_measurements(recipe, options.out, options.out)))


if __name__ == "__main__":
    main()
