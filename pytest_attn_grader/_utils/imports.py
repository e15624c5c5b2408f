"""Import heavy libraries at full speed inside a pytest run."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from _pytest.assertion.rewrite import AssertionRewritingHook

# What every graded run asks for sooner or later, PyTorch with it; transformers' classes come with the model.
HEAVY_MODULES = (
    "torch",
    "safetensors.torch",
    "pytest_attn_grader.grading.comparison",
    "pytest_attn_grader.grading.experiments",
    "pytest_attn_grader.model_utils",
    "pytest_attn_grader.models.devices",
    "pytest_attn_grader.models.load",
    "pytest_attn_grader.grading.observation",
    "pytest_attn_grader.attention.probes",
    "pytest_attn_grader.models.prompt",
    "pytest_attn_grader.grading.patched_models",
    "pytest_attn_grader.grading.speed",
    "pytest_attn_grader.submission.adapt",
    "pytest_attn_grader.submission.remote.client",
)
# A library brings so many new modules. A file of this package does not.
MANY_MODULES = 500


@contextmanager
def fast_imports() -> Iterator[None]:
    """Leave pytest's assertion rewriting and the garbage collector out of the imports inside.

    The rewriting hook looks at each of the 2,800 modules that torch and transformers bring, and rewrites none of them.
    It would rewrite the modules of this package. Where it cannot store the result (a read-only installation,
    PYTHONDONTWRITEBYTECODE) it would do so in every run. The collector would walk many times over objects that stay.
    """
    hooks = [finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook)]
    collecting = gc.isenabled()
    known = len(sys.modules)
    for hook in hooks:
        sys.meta_path.remove(hook)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known + MANY_MODULES:
            # Or the next collection, and each of its kind after it, would walk over a million of them.
            gc.freeze()
        if collecting:
            gc.enable()
        sys.meta_path[:0] = hooks


def import_heavy_modules() -> None:
    """Import `HEAVY_MODULES`, which takes seconds."""
    with fast_imports():
        for name in HEAVY_MODULES:
            importlib.import_module(name)
