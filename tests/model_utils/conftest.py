"""One model of each family, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_attn_grader.model_utils import (
    attach_tokenizer,
)
from pytest_attn_grader.models.devices import one_thread
from tests.support.small_models import (
    CONFIGS,
    WordTokenizer,
    build,
)


@pytest.fixture(scope="module", autouse=True)
def few_threads() -> Iterator[None]:
    """Tensors this small lose more time to threads than they gain, five times as much on a busy machine."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """One model of each family; tests leave it as they found it."""
    return {name: build(name) for name in CONFIGS}


@pytest.fixture
def gpt2(models: dict[str, Any]) -> Any:
    return models["gpt2"]


@pytest.fixture
def told(gpt2: Any) -> Any:
    attach_tokenizer(gpt2, WordTokenizer())
    return gpt2
