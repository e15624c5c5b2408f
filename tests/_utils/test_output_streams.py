"""Standard output and error that cannot be written: nothing fails, and what was lost is known."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from pytest_attn_grader._utils.output_streams import (
    TolerantStream,
    is_output_lost,
    require_written_output,
    tolerate_lost_output,
)

needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device of Linux")


@needs_full_device
def test_a_write_that_fails_sends_the_rest_to_the_null_device() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        stream = TolerantStream(full)
        stream.write("x" * 100_000)
        stream.flush()
        assert stream.error is not None
        assert stream.error.errno == errno.ENOSPC
        assert os.path.samestat(os.fstat(full.fileno()), os.stat(os.devnull))


def test_a_stream_that_works_is_written_to() -> None:
    file = io.StringIO()
    stream = TolerantStream(file)
    assert stream.write("a line") == 6
    stream.flush()
    assert file.getvalue() == "a line"
    assert not stream.isatty()
    assert stream.error is None


def test_a_closed_stream_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    tolerate_lost_output()
    before = sys.stdout, sys.stderr
    assert sys.stdout.name == os.devnull
    tolerate_lost_output()
    assert (sys.stdout, sys.stderr) == before
    sys.stdout.close()


def test_what_was_lost_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    tolerate_lost_output()
    assert not is_output_lost()
    require_written_output()
    monkeypatch.setattr(sys, "stdout", None)
    tolerate_lost_output()
    assert is_output_lost()
    with pytest.raises(OSError, match="Bad file descriptor: 'standard output'"):
        require_written_output()
    sys.stdout.close()
