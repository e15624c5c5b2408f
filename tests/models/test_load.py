"""``auto``, ``mini`` and devices; sources have test files of their own."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import UngradableError, UsageError
from pytest_attn_grader.models import load_model
from pytest_attn_grader.models.hub import Hub
from tests.support.hub_server import HubServer, closed_endpoint


def test_auto_downloads_distilgpt2_when_the_hub_answers(hub: Hub, embedded: tuple[object, object]) -> None:
    loaded = load_model(hub=hub)
    assert (loaded.requested, loaded.used, loaded.source) == ("auto", "distilgpt2", "hub")
    assert loaded.fallback_reason is None
    assert loaded.model is not embedded[0]


def test_auto_falls_back_offline(offline: Hub, embedded: tuple[object, object]) -> None:
    loaded = load_model("auto", hub=offline)
    assert (loaded.requested, loaded.used, loaded.source) == ("auto", "mini", "embedded")
    assert (loaded.model, loaded.tokenizer) == embedded
    assert (loaded.revision, loaded.sha256) == (None, "its checksum")
    assert loaded.fallback_reason == (
        f"distilgpt2 is not available: it is not in the cache ({offline.cache_dir}) and HF_HUB_OFFLINE forbids asking "
        "the hub"
    )


@pytest.mark.usefixtures("embedded")
def test_auto_falls_back_when_the_hub_cannot_be_reached(hub: Hub) -> None:
    endpoint = closed_endpoint()
    loaded = load_model(hub=replace(hub, endpoint=endpoint))
    assert loaded.used == "mini"
    assert loaded.fallback_reason is not None
    assert loaded.fallback_reason.startswith(f"distilgpt2 is not available: the hub at {endpoint} cannot be reached: ")
    assert loaded.load_seconds < 10


@pytest.mark.usefixtures("embedded")
def test_auto_falls_back_when_the_hub_is_slow(hub: Hub, server: HubServer) -> None:
    server.faults.api_delay_seconds = 60
    loaded = load_model(hub=replace(hub, answer_seconds=1.0))
    assert loaded.used == "mini"
    assert loaded.fallback_reason == (
        f"distilgpt2 is not available: the hub at {hub.endpoint} does not answer within 1 s"
    )
    assert loaded.load_seconds < 10


@pytest.mark.usefixtures("embedded")
def test_auto_says_that_the_cached_model_is_damaged(hub: Hub, server: HubServer) -> None:
    server.faults.flip = {"model.safetensors"}
    reason = load_model(hub=hub).fallback_reason
    assert reason is not None
    assert "model.safetensors is damaged: its sha256 is " in reason


def test_a_named_model_is_never_replaced(offline: Hub, embedded: tuple[object, object]) -> None:
    with pytest.raises(UngradableError, match="Model 'distilgpt2' is not available"):
        load_model("distilgpt2", hub=offline)


def test_mini_asks_nobody(hub: Hub, server: HubServer, embedded: tuple[object, object]) -> None:
    loaded = load_model("mini", hub=hub)
    assert (loaded.requested, loaded.used, loaded.source) == ("mini", "mini", "embedded")
    assert loaded.model is embedded[0]
    assert loaded.fallback_reason is None
    assert server.requests == []


@pytest.mark.usefixtures("embedded")
def test_what_was_loaded_cannot_be_changed() -> None:
    loaded = load_model("mini")
    assert loaded.device == torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    with pytest.raises(FrozenInstanceError):
        loaded.used = "another"  # type: ignore[misc]


def test_the_device_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Device 'cuda:99' is not there"):
        load_model(str(tmp_path / "absent"), device="cuda:99")


def test_nonsense_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'what is this' is not the name of a model"):
        load_model("what is this")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(small_checkpoint: Path) -> None:
    on_gpu = load_model(str(small_checkpoint), device="cuda")
    on_cpu = load_model(str(small_checkpoint), device="cpu")
    prompt = on_cpu.tokenizer("The cat sat on the mat", return_tensors="pt")
    logits = on_gpu.model(**prompt.to(on_gpu.device)).logits.cpu()
    torch.testing.assert_close(logits, on_cpu.model(**prompt.to("cpu")).logits, atol=1e-3, rtol=1e-3)
