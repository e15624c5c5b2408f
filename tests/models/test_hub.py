"""The hub and its cache, against a server that speaks its protocol. What goes wrong: test_hub_downloader.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.models import load_model
from pytest_attn_grader.models.hub import PINNED_MODELS, Hub, PinnedModel
from tests.models.conftest import COMMIT, PINNED, SMALL, cache_folder
from tests.support.checkpoints import REPO_ROOT
from tests.support.hub_server import HubServer, ServedFile, closed_endpoint


def test_downloads_once_then_takes_the_cache(hub: Hub, server: HubServer, small_checkpoint: Path) -> None:
    first = load_model(SMALL, hub=hub)
    assert (first.used, first.requested, first.revision, first.source) == (SMALL, SMALL, COMMIT, "hub")
    assert first.sha256 == ServedFile(small_checkpoint / "model.safetensors").sha256
    assert first.fallback_reason is None

    server.requests.clear()
    again = load_model(SMALL, hub=hub)
    assert (again.revision, again.source, again.sha256) == (COMMIT, "cache", first.sha256)
    assert server.requests == []


def test_downloads_only_what_a_model_is_loaded_from(hub: Hub, server: HubServer) -> None:
    load_model(SMALL, hub=hub)
    snapshot = cache_folder(hub, SMALL) / "snapshots" / COMMIT
    assert sorted(path.name for path in snapshot.iterdir()) == [
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ]
    assert server.downloads("pytorch_model.bin") == server.downloads("modeling_own.py") == []


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_named_revision(revision: str, hub: Hub, offline: Hub) -> None:
    request = f"{SMALL}@{revision}"
    assert load_model(request, hub=hub).revision == COMMIT
    assert load_model(request, hub=offline).source == "cache"


@pytest.mark.parametrize("name", ["distilgpt2", PINNED])
def test_both_names_of_a_pinned_model(name: str, hub: Hub, offline: Hub, pin: PinnedModel) -> None:
    loaded = load_model(name, hub=hub)
    assert (loaded.used, loaded.revision, loaded.sha256) == ("distilgpt2", pin.revision, pin.sha256)
    assert load_model("distilgpt2", hub=offline).source == "cache"


def test_what_transformers_has_cached_under_the_short_name_is_found(hub: Hub, offline: Hub) -> None:
    load_model("distilgpt2", hub=hub)
    cache_folder(hub, PINNED).rename(cache_folder(hub, "distilgpt2"))
    assert load_model("distilgpt2", hub=offline).source == "cache"
    assert load_model("auto", hub=offline).used == "distilgpt2"


def test_another_revision_of_a_pinned_model_is_not_pinned(hub: Hub, pin: PinnedModel) -> None:
    strange = replace(pin, revision="7" * 40, sha256="0" * 64)
    loaded = load_model("distilgpt2@main", hub=replace(hub, pins=(strange,)))
    assert (loaded.used, loaded.revision, loaded.sha256) == (PINNED, COMMIT, pin.sha256)


def test_the_pin_of_distilgpt2() -> None:
    (pin,) = PINNED_MODELS
    assert (pin.name, pin.repo) == ("distilgpt2", "distilbert/distilgpt2")
    assert pin.revision == "2290a62682d06624634c1f46a6ad5be0f47f38aa"
    assert pin.size_bytes == 352_824_413
    assert pin.sha256 == "e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b"


def test_cached_and_unreachable(hub: Hub) -> None:
    load_model("distilgpt2", hub=hub)
    unreachable = replace(hub, endpoint=closed_endpoint())
    assert load_model("distilgpt2", hub=unreachable).source == "cache"
    assert load_model("auto", hub=unreachable).used == "distilgpt2"


def test_offline_without_cache(offline: Hub, server: HubServer) -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        load_model("distilgpt2", hub=offline)
    assert str(caught.value) == (
        f"Model 'distilgpt2' is not available: it is not in the cache ({offline.cache_dir}) and HF_HUB_OFFLINE forbids "
        "asking the hub. Unset HF_HUB_OFFLINE to download it, or work offline with --attn-model=mini. Pretrained "
        "weights from a package index: --attn-model=smollm2."
    )
    assert server.requests == []


def test_a_cache_with_a_part_missing_is_completed(hub: Hub, offline: Hub, server: HubServer) -> None:
    load_model(SMALL, hub=hub)
    snapshot = cache_folder(hub, SMALL) / "snapshots" / COMMIT
    (snapshot / "model.safetensors").resolve().unlink()
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="it is not in the cache"):
        load_model(SMALL, hub=offline)
    server.requests.clear()
    assert load_model(SMALL, hub=hub).source == "hub"
    assert len(server.downloads("model.safetensors")) == 1
    assert server.downloads("tokenizer.json") == []


def test_progress_is_shown_on_request_only(hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(SMALL, hub=hub)
    assert capfd.readouterr() == ("", "")
    load_model(SMALL, hub=replace(hub, cache_dir=tmp_path / "other"), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


def test_environment_is_honoured(tmp_path: Path) -> None:
    script = (
        "from pytest_attn_grader.models.hub import Hub; hub = Hub.from_environment(); "
        "print(hub.endpoint, hub.cache_dir, hub.offline)"
    )
    environment = {"HF_ENDPOINT": "http://hub.invalid", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["http://hub.invalid", str(tmp_path / "hub"), "True"]


def test_importing_costs_nothing() -> None:
    script = (
        "import json, sys; from pytest_attn_grader.models import load_model; "
        "print(json.dumps([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules]))"
    )
    for more, expected in (("", []), ("import huggingface_hub; ", ["huggingface_hub"])):
        said = subprocess.run(
            [sys.executable, "-c", more + script], cwd=REPO_ROOT, capture_output=True, text=True, check=True
        )
        assert json.loads(said.stdout) == expected


@pytest.mark.slow
def test_two_processes_share_an_empty_cache(hub: Hub, server: HubServer, pin: PinnedModel) -> None:
    server.faults.pause_seconds = 0.3
    script = (
        "import sys; from pytest_attn_grader.models.hub_download import DownloadRequest, fetch_snapshot; "
        "from pytest_attn_grader.models.checkpoint import check_checkpoint, file_sha256; "
        "folder = fetch_snapshot(DownloadRequest(*sys.argv[1:], 30), progress=False); "
        "check_checkpoint(folder, remedy=''); print(file_sha256(folder / 'model.safetensors'))"
    )
    command = [sys.executable, "-c", script, pin.repo, pin.revision, hub.endpoint, str(hub.cache_dir)]
    processes = [
        subprocess.Popen(command, cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in processes]
    assert said == [(f"{pin.sha256}\n", "")] * 2
    # Whoever came second waited for the lock and then found the file.
    assert len(server.downloads("model.safetensors")) == 1
    assert load_model("distilgpt2", hub=hub).source == "cache"
