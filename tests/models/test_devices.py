from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.models import available_devices, release_memory, resolve_device


@pytest.fixture
def cuda_devices(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("cuda_devices", [0], indirect=True)
@pytest.mark.usefixtures("cuda_devices")
def test_without_gpu() -> None:
    assert resolve_device() == resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    assert available_devices() == ["cpu"]


@pytest.mark.parametrize("cuda_devices", [2], indirect=True)
@pytest.mark.usefixtures("cuda_devices")
def test_with_gpus() -> None:
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
    assert available_devices() == ["cpu", "cuda:0", "cuda:1"]


def test_with_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.parametrize(
    ("cuda_devices", "name", "offered"),
    [
        (0, "cuda", "cpu"),
        (0, "mps", "cpu"),
        (2, "cuda:2", "cpu, cuda:0, cuda:1"),
        (0, "tpu", "cpu"),
        (0, "", "cpu"),
    ],
    indirect=["cuda_devices"],
)
@pytest.mark.usefixtures("cuda_devices")
def test_names_what_there_is(name: str, offered: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_device(name)
    assert str(caught.value) == (
        f"Device {name!r} is not there: this machine offers {offered}. Choose one of these, or 'auto'."
    )


def test_release_memory_on_the_cpu_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("there is no CUDA cache to empty"))
    release_memory(torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_release_memory_empties_the_cuda_cache() -> None:
    device = resolve_device("cuda")
    before = torch.cuda.memory_reserved(device)
    circle = [torch.empty(64 << 20, device=device)]
    circle.append(circle)  # type: ignore[arg-type]
    assert torch.cuda.memory_reserved(device) > before
    del circle
    release_memory(device)
    assert torch.cuda.memory_reserved(device) <= before
