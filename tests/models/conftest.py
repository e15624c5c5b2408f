"""A small checkpoint, a hub that offers it, and an embedded model that costs nothing to load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.models import load_model
from pytest_attn_grader.models.hub import Hub, PinnedModel
from tests.support.checkpoints import small_gpt2
from tests.support.hub_server import HubServer, Repo, ServedFile

SMALL = "attn-tests/small"
COMMIT = "5" * 40
PINNED = "attn-tests/pinned"


CopyCheckpoint = Callable[..., Path]


def refusal(path: Path | str) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(str(path))
    return str(caught.value)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole GPT-2 folder; also some files that must never be downloaded."""
    folder = small_gpt2(tmp_path_factory.mktemp("checkpoints") / "small")
    (folder / "pytorch_model.bin").write_bytes(b"not for us")
    (folder / "modeling_own.py").write_text("raise SystemExit('the code in the folder was run')")
    (folder / "README.md").write_text("# A model")
    return folder


@pytest.fixture(scope="session")
def repo(small_checkpoint: Path) -> Repo:
    return Repo(small_checkpoint, COMMIT)


def cache_folder(hub: Hub, repo: str) -> Path:
    """Where the cache keeps everything about `repo`."""
    return hub.cache_dir / f"models--{repo.replace('/', '--')}"


@pytest.fixture
def server(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubServer({SMALL: repo, PINNED: repo}) as running:
        yield running


@pytest.fixture
def pin(repo: Repo) -> PinnedModel:
    weights = ServedFile(repo.folder / "model.safetensors")
    return PinnedModel(name="distilgpt2", repo=PINNED, revision=COMMIT, size_bytes=weights.size, sha256=weights.sha256)


@pytest.fixture
def hub(server: HubServer, pin: PinnedModel, tmp_path: Path) -> Hub:
    """The server with an empty cache; for it, distilgpt2 is the small checkpoint."""
    return Hub(endpoint=server.endpoint, cache_dir=tmp_path / "cache", pins=(pin,), answer_seconds=30.0)


@pytest.fixture
def offline(hub: Hub) -> Hub:
    return replace(hub, offline=True)


@pytest.fixture
def copy_checkpoint(small_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the small checkpoint without the files named, for a test to spoil."""

    def copy(*without: str) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        for source in small_checkpoint.iterdir():
            if source.name not in ("pytorch_model.bin", *without):
                (folder / source.name).write_bytes(source.read_bytes())
        return folder

    return copy


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    """Stand in for the embedded model, whose own tests are elsewhere."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 64, "vocab_size": 8, "n_positions": 8}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    module = ModuleType("pytest_attn_grader.models.mini")
    vars(module).update(load_mini=lambda name: (model, "its tokenizer"), mini_checksum=lambda name: "its checksum")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return model, "its tokenizer"
