"""What is kept for the runs that are forked from this process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pytest_attn_grader._utils import fork_cache


class Model:
    """Something that results belong to."""


@pytest.fixture
def enabled() -> Iterator[None]:
    fork_cache.enable()
    yield
    fork_cache.disable()


def test_an_ordinary_run_keeps_nothing() -> None:
    assert not fork_cache.is_enabled()
    assert fork_cache.cached("key", list) is not fork_cache.cached("key", list)


@pytest.mark.usefixtures("enabled")
def test_the_same_key_gives_the_same_object() -> None:
    first = fork_cache.cached(("probe", 1), list)
    assert fork_cache.cached(("probe", 1), list) is first
    assert fork_cache.cached(("probe", 2), list) is not first
    fork_cache.enable()
    assert fork_cache.cached(("probe", 1), list) is first, "enabling again forgets nothing"
    fork_cache.disable()
    assert fork_cache.cached(("probe", 1), list) is not first


@pytest.mark.usefixtures("enabled")
def test_what_belongs_to_an_owner_goes_with_it() -> None:
    one, other = Model(), Model()
    of_one = weakref.ref(fork_cache.cached("weights", Model, owner=one))
    assert fork_cache.cached("weights", Model, owner=one) is of_one()
    assert fork_cache.cached("weights", Model, owner=other) is not of_one()
    del one
    gc.collect()
    assert of_one() is None
