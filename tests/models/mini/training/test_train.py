"""Training: the parts, and that an interruption leaves no trace."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pytest_attn_grader.models.mini.model import WEIGHTS_FILE
from pytest_attn_grader.models.mini.training import train as training
from pytest_attn_grader.models.mini.training.checkpoint import ModelSize
from pytest_attn_grader.models.mini.training.curriculum import MINI, MINI_LLAMA, RECIPES, Phase, Recipe
from pytest_attn_grader.models.mini.training.text import DEFAULT_MIX, write_documents
from pytest_attn_grader.models.mini.training.tokenizer import ANSWER_BIT, train_tokenizer
from pytest_attn_grader.models.mini.training.train import Batch, Trainer, train, write_rows

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

PHASES = (
    Phase(steps=3, rows_per_step=4, row_len=12, random_share=0.5, mix=DEFAULT_MIX),
    Phase(steps=3, rows_per_step=2, row_len=24, random_share=0.0, mix=DEFAULT_MIX),
)
TINY = ModelSize(vocabulary_size=320, positions=24, hidden_size=128, num_layers=2, num_heads=2, intermediate_size=64)
TINY_RECIPES = {
    # the tiny models have two layers
    "gpt2": replace(MINI, size=TINY, phases=PHASES, answer_heads=((1, 1), (0, 1))),
    "llama": replace(
        MINI_LLAMA,
        size=replace(TINY, model_type="llama", num_key_value_heads=1),
        phases=PHASES,
        sentence_head=(0, 1),
        answer_heads=((1, 1), (0, 1)),
        starts_from_mini=False,
    ),
}


@pytest.fixture(params=TINY_RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return TINY_RECIPES[request.param]


@pytest.fixture
def trainer(recipe: Recipe) -> Trainer:
    rng = np.random.default_rng(0)
    rows = [
        rng.integers(0, 320, size=(phase.steps * phase.rows_per_step, phase.row_len), dtype=np.uint16)
        for phase in PHASES
    ]
    return Trainer(recipe, rows, sentence_ends=[0], content=range(5, 320))


def train_tiny(folder: Path, recipe: Recipe) -> bytes:
    """The weights of a short training."""
    train(folder, recipe=recipe, tokenizer_documents=300)
    return (folder / WEIGHTS_FILE).read_bytes()


@pytest.mark.sampled(1)
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    monkeypatch.setattr(training, "STEPS_BETWEEN_CHECKPOINTS", 2)
    uninterrupted = train_tiny(tmp_path / "whole", recipe)
    run_step = Trainer.run_step

    def interrupt(trainer: Trainer) -> float:
        # between two checkpoints: step 4 is written, step 5 is lost and run again
        if trainer.step == 5:
            raise KeyboardInterrupt
        return run_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(tmp_path / "interrupted", recipe)
    assert not (tmp_path / "interrupted" / WEIGHTS_FILE).exists()

    assert train_tiny(tmp_path / "interrupted", recipe) == uninterrupted
    # 2**-1074 is the smallest float64: flushed to zero, other code of this process would compute other numbers
    assert math.ldexp(1.0, -1074) * 1.0 != 0.0


def test_a_checkpoint_is_whole_or_not_there(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    trainer.write_checkpoint(path)
    before = path.read_bytes()
    trainer.run_step()

    def fill_the_disk(state: object, target: Path) -> None:
        target.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(training.torch, "save", fill_the_disk)
    with pytest.raises(OSError, match="no space"):
        trainer.write_checkpoint(path)

    assert path.read_bytes() == before


def test_batches_go_through_the_phases_and_stand_inside_the_context(trainer: Trainer) -> None:
    for step in range(6):
        trainer.step = step
        batch = trainer.read_batch()
        index, inside = divmod(step, 3)
        phase = PHASES[index]
        first = inside * phase.rows_per_step
        assert batch.input_ids.tolist() == trainer.rows[index][first : first + phase.rows_per_step].tolist()
        assert batch.position_ids.shape == batch.is_answer.shape == batch.input_ids.shape
        assert batch.position_ids.max() < TINY.positions
        assert (batch.position_ids.diff() == 1).all()


def test_answer_tokens_count_as_much_as_the_phase_says(recipe: Recipe) -> None:
    row = np.array([[5, 6 | ANSWER_BIT, 7, 8 | ANSWER_BIT]], dtype=np.uint16)
    phase = Phase(steps=1, rows_per_step=1, row_len=4, random_share=0.0, mix=DEFAULT_MIX, answer_weight=3.0)
    trainer = Trainer(replace(recipe, phases=(phase,), autocast=False), [row], sentence_ends=[0], content=range(5, 320))
    batch = trainer.read_batch()
    with torch.inference_mode():
        logits = trainer.model(batch.input_ids, position_ids=batch.position_ids).logits[0]
    losses = -logits.log_softmax(-1)[[0, 1, 2], [6, 7, 8]]

    assert batch.input_ids.tolist() == [[5, 6, 7, 8]]
    assert batch.is_answer.tolist() == [[False, True, False, True]]
    assert trainer.run_step() == pytest.approx((3 * losses[0] + losses[1] + 3 * losses[2]).item() / 7, rel=1e-5)


def test_the_learning_rate_warms_up_stays_and_falls_to_zero(trainer: Trainer) -> None:
    trainer.total_steps = 10_000

    factors = [trainer.learning_rate_factor(step) for step in (0, training.WARMUP_STEPS, 5_000, 10_000)]
    assert factors == [1 / training.WARMUP_STEPS, 1.0, 1.0, 0.0]


def test_a_look_at_a_head_sees_the_models_own_weights(trainer: Trainer) -> None:
    trainer.model.set_attn_implementation("eager")
    input_ids = torch.arange(20).reshape(2, 10)
    with torch.inference_mode():
        attentions = trainer.model(input_ids, output_attentions=True, use_cache=False).attentions
        for layer_idx, head_idx in ((0, 0), (0, 1), (1, 0)):
            torch.testing.assert_close(trainer.look((layer_idx, head_idx)), attentions[layer_idx][:, head_idx])


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        (0, PHASES[0]),
        (training.NUDGED_STEPS, replace(PHASES[0], sentence_nudge=0.5)),
        (training.NUDGED_STEPS, replace(PHASES[0], answer_nudge=1.0)),
    ],
)
def test_nudges_draw_their_heads(trainer: Trainer, step: int, phase: Phase) -> None:
    trainer.step = step
    optimizer = torch.optim.Adam(trainer.model.parameters(), lr=1e-2)
    input_ids = torch.randint(320, (4, 6), generator=torch.Generator().manual_seed(0)).repeat(1, 2)
    is_answer = torch.ones_like(input_ids, dtype=torch.bool)
    batch = Batch(phase, input_ids, torch.arange(12).expand(4, -1), is_answer)
    losses = []
    for _ in range(20):
        trainer.model(input_ids)
        loss = trainer.nudge_heads(batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert losses[-1] < losses[0] / 2


def test_without_a_nudge_there_is_no_extra_loss(trainer: Trainer) -> None:
    trainer.step = training.NUDGED_STEPS
    input_ids = torch.zeros(2, 8, dtype=torch.int64)

    assert trainer.nudge_heads(Batch(PHASES[0], input_ids, input_ids, input_ids.bool())).item() == 0.0


def test_a_phase_that_is_left_early_keeps_the_rows_of_the_whole_phase(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(write_documents(200, "train"), vocabulary_size=320)
    whole = PHASES[0]
    for name, phase in (("whole", whole), ("left", replace(whole, steps=1, generated_steps=whole.steps))):
        write_rows(tmp_path / f"{name}.npy", phase, 0, tokenizer)

    assert np.array_equal(np.load(tmp_path / "whole.npy"), np.load(tmp_path / "left.npy"))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_phases_of_a_recipe_fit_its_model(recipe: Recipe) -> None:
    assert max(phase.row_len for phase in recipe.phases) == recipe.size.positions
    assert all(sum(phase.mix.values()) == pytest.approx(1.0) for phase in recipe.phases)


def test_mini_llama_starts_from_the_embeddings_of_mini(model: GPT2LMHeadModel) -> None:
    trainer = Trainer(MINI_LLAMA, [], sentence_ends=[0], content=[5])

    assert torch.equal(trainer.model.get_input_embeddings().weight, model.transformer.wte.weight)
