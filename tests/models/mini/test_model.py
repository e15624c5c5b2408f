"""The shipped model: what it is, and that it loads from the package alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.models.architectures import HeadConfig, find_architecture
from pytest_attn_grader.models.mini import FOLDER, get_folder, load_mini, mini_checksum
from pytest_attn_grader.models.mini.model import WEIGHTS_FILE, load_model, load_tokenizer
from pytest_attn_grader.models.mini.training.checkpoint import ModelSize, build_model, write_model
from pytest_attn_grader.models.types import EMBEDDED_MODELS
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE

if TYPE_CHECKING:
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

    from pytest_attn_grader.models.mini.model import MiniModel

TINY = ModelSize(vocabulary_size=300, positions=16, hidden_size=128, num_layers=1, num_heads=2, intermediate_size=32)
TINY_LLAMA = replace(TINY, model_type="llama", num_key_value_heads=1)
# Refuses every connection, then loads and says what it loaded.
OFFLINE_SCRIPT = """
import socket, sys
def refuse(*arguments, **options): raise RuntimeError("a connection was tried")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refuse
from pytest_attn_grader.models.mini import load_mini
heavy = {"torch", "transformers"} & set(sys.modules)
model, tokenizer = load_mini()
print(sorted(heavy), model.num_parameters(), len(tokenizer))
"""


@pytest.fixture(scope="module", params=EMBEDDED_MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shipped(name: str) -> tuple[MiniModel, PreTrainedTokenizerFast]:
    return load_mini(name)


def test_it_is_small_eager_and_in_evaluation_mode(model: MiniModel) -> None:
    assert model.num_parameters() < 4_000_000
    assert model.config._attn_implementation == "eager"
    assert not model.training


def test_mini_is_a_gpt2_of_heads_of_64() -> None:
    model, _ = load_mini()

    assert type(model).__name__ == "GPT2LMHeadModel"
    assert find_architecture(model).heads[0] == HeadConfig(4, 4, 64)


def test_mini_llama_is_a_llama_of_four_heads_on_two() -> None:
    model, _ = load_mini("mini-llama")
    architecture = find_architecture(model)

    assert type(model).__name__ == "LlamaForCausalLM"
    assert architecture.heads[0] == HeadConfig(4, 2, 64)
    assert architecture.rotary


def test_both_read_the_same_tokens() -> None:
    assert load_mini("mini")[1].get_vocab() == load_mini("mini-llama")[1].get_vocab()


def test_the_prompt_is_one_token_a_word(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer(PROMPT_EXAMPLE)["input_ids"]) == 6


def test_it_is_stored_as_float16_below_8_megabytes_and_loaded_as_float32(name: str, model: MiniModel) -> None:
    from safetensors.torch import load_file

    path = get_folder(name) / WEIGHTS_FILE
    assert path.stat().st_size < 8_000_000
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_the_output_matrix_is_the_embedding(model: MiniModel) -> None:
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_the_checksum_is_that_of_the_weights_file(name: str) -> None:
    assert mini_checksum(name) == hashlib.sha256((get_folder(name) / WEIGHTS_FILE).read_bytes()).hexdigest()


def test_it_loads_without_a_network_and_imports_nothing_heavy_before() -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    output = subprocess.run(
        [sys.executable, "-c", OFFLINE_SCRIPT], env=environment, capture_output=True, text=True, check=True
    )

    assert output.stdout.startswith("[] ")
    assert output.stderr == ""


def test_transformers_own_loaders_read_the_folder_alike(
    name: str, model: MiniModel, tokenizer: PreTrainedTokenizerFast, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(get_folder(name), dtype=torch.float32, local_files_only=True)
    their_tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)

    assert {name: tensor.sum().item() for name, tensor in theirs.state_dict().items()} == {
        name: tensor.sum().item() for name, tensor in model.state_dict().items()
    }
    text = "The cat sat on the mat. Ann's cup!"
    assert their_tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert their_tokenizer.pad_token == tokenizer.pad_token
    capfd.readouterr()  # their progress bar


def test_padding_on_the_right_leaves_the_last_real_prediction(
    model: MiniModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    with torch.inference_mode():
        alone = model(torch.tensor([tokenizer.encode("The cat sat")])).logits[0, -1]
        batch = tokenizer(["The cat sat", "The cat sat on the mat"], padding=True, return_tensors="pt")
        padded = model(**batch).logits[0, 2]

    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "size", [TINY, replace(TINY, model_type="llama", num_key_value_heads=1)], ids=["gpt2", "llama"]
)
def test_what_is_written_is_read(tmp_path: Path, size: ModelSize) -> None:
    torch.manual_seed(0)
    written = build_model(size)
    write_model(written, tmp_path)
    read = load_model(tmp_path)

    assert {name: tensor.half().tolist() for name, tensor in written.state_dict().items()} == {
        name: tensor.half().tolist() for name, tensor in read.state_dict().items()
    }


def test_weights_that_do_not_fit_their_config_are_an_error(tmp_path: Path) -> None:
    write_model(build_model(TINY), tmp_path)
    other = tmp_path / "other"
    write_model(build_model(ModelSize(**{**vars(TINY), "num_layers": 2})), other)
    (tmp_path / WEIGHTS_FILE).replace(other / WEIGHTS_FILE)

    with pytest.raises(RuntimeError, match=r"h\.1\.attn"):
        load_model(other)


def test_the_tokenizer_adds_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("Tom")["input_ids"] == tokenizer("Tom", add_special_tokens=False)["input_ids"]
    assert load_tokenizer(FOLDER).encode("Tom") == tokenizer.encode("Tom")
