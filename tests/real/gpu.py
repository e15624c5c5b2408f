"""A graded run on the GPU and on the CPU of one machine: seconds by phase and memory, in models of three sizes.

It ends within `LIMIT_SECONDS`: what would start later is left out, and named. Without a GPU it measures the CPU only.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.real.runs import MEBIBYTE, GradedRun, run_graded
from tests.real.submissions import REFERENCE, RIGHT
from tests.support.checkpoints import REPO_ROOT, distilgpt2_shaped, small_family, small_gpt2

LIMIT_SECONDS = 450.0
# The longest that one graded run may take; none starts with less time left.
RUN_SECONDS = 90.0
GPU_TESTS = ("tests/models/test_devices.py", "tests/models/test_load.py", "tests/real/test_gpu.py")
SHOWN_PHASES = ("import libraries", "load model", "probes", "comparison", "model")

Say = Callable[[str], None]


def measure_devices(*, small: bool, say: Say) -> bool:
    """Run the tests marked `gpu`, then a graded run of the reference in each model on each device.

    Args:
        small: take tiny models, to try the command itself.

    Returns:
        Whether every test and every submission passed.
    """
    started = time.monotonic()
    devices = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
    say(f"GPU: {torch.cuda.get_device_name() if 'cuda' in devices else 'none, so the CPU only'}")
    good = _run_gpu_tests(say) if "cuda" in devices else True
    say(
        "| model | device | verdict | seconds | "
        + " | ".join(SHOWN_PHASES)
        + " | memory, MiB | GPU before, peak, after, MiB |"
    )
    say("|---|---|---|" + "---:|" * (len(SHOWN_PHASES) + 3))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (SMALL_MODELS if small else MODELS).items():
            model = make(Path(folder) / name)
            for device in devices:
                if time.monotonic() - started > LIMIT_SECONDS - RUN_SECONDS:
                    say(f"| {name} | {device} | left out: {LIMIT_SECONDS:.0f} seconds are over |")
                    continue
                before = _gpu_mib()
                run = run_graded(RIGHT[REFERENCE], model, 0, device=device)
                say(_row(name, device, run, before))
                good &= not run.failed() and run.report["model"]["device"].startswith(device)
    return good


def _run_gpu_tests(say: Say) -> bool:
    command = (sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *GPU_TESTS)
    done = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, timeout=RUN_SECONDS * 2, check=False)
    say("\n".join(done.stdout.strip().splitlines()[-15:]))
    return done.returncode == 0


def _gpu_mib() -> float:
    """Memory in use on the GPU, by every process."""
    if not torch.cuda.is_available():
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / MEBIBYTE


def _row(name: str, device: str, run: GradedRun, before: float) -> str:
    seconds = {phase["name"]: phase["seconds"] for phase in run.report["timing"]}
    phases = " | ".join(f"{seconds.get(phase, 0.0):.1f}" for phase in SHOWN_PHASES)
    verdict = "failed" if run.failed() else "passed"
    peak = run.report["environment"].get("gpu_peak_memory_bytes")
    on_gpu = "" if peak is None else f"{before:.0f}, {int(peak) / MEBIBYTE:.0f}, {_gpu_mib():.0f}"
    return f"| {name} | {device} | {verdict} | {run.wall_seconds:.1f} | {phases} | {run.memory_mib:.0f} | {on_gpu} |"


def _mini(_: Path) -> str:
    return "mini"


def _distilgpt2_size(folder: Path) -> str:
    return str(distilgpt2_shaped(folder))


def _llama(folder: Path, **sizes: int) -> str:
    from transformers import LlamaConfig

    small_family(folder, LlamaConfig(vocab_size=512, tie_word_embeddings=True, **sizes))
    gc.collect()
    return str(folder)


def _llama_1b(folder: Path) -> str:
    """The layers of a Llama of a billion parameters, 16 of them 2048 wide; its vocabulary is small."""
    return _llama(
        folder,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=1024,
    )


def _llama_tiny(folder: Path) -> str:
    return _llama(
        folder,
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )


MODELS: dict[str, Callable[[Path], str]] = {
    "mini": _mini,
    "distilgpt2's size": _distilgpt2_size,
    "a Llama of a billion": _llama_1b,
}
SMALL_MODELS: dict[str, Callable[[Path], str]] = {
    "mini": _mini,
    "a tiny GPT-2": lambda folder: str(small_gpt2(folder)),
    "a tiny Llama": _llama_tiny,
}
