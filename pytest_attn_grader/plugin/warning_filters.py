"""Keep `-W error` and `filterwarnings = error` from turning a library's warning into a failure of the grader."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from pytest_attn_grader.plugin.collection import is_check_file


@contextmanager
def default_warnings() -> Iterator[None]:
    """Show warnings inside the block instead of raising them."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def show_warnings_of_checks(items: Iterable[pytest.Item]) -> None:
    """Show warnings of the grader's checks instead of raising them; an instructor's own tests keep their filters."""
    for item in items:
        if is_check_file(item.path):
            item.add_marker(pytest.mark.filterwarnings("default"))
