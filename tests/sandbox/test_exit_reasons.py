"""Whatever a call does to its process has a name, ends in time, and the next call works."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.sandbox.exit_reasons import student_failure
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import make_worker, serving

CALL_SECONDS = 1.0
SOURCE = """
import ctypes
import os
import signal
import sys
import threading
import time
import torch

def fine(query):
    return query + 1

def raises(query):
    return inner(query)

def inner(query):
    raise ValueError("not like this: " + "x" * 100_000)

class Odd(BaseException):
    def __str__(self):
        raise RuntimeError("no words")

class Worse(Exception):
    @property
    def __class__(self):
        os._exit(9)

def raises_odd(query):
    raise Odd

def raises_lone_surrogate(query):
    raise ValueError("\\ud800 \\x00")

def skips(query):
    import pytest
    pytest.skip("not today")

def xfails(query):
    import pytest
    pytest.xfail("not today")

def quits_pytest(query):
    import pytest
    pytest.exit("stop", returncode=0)

def interrupts(query):
    raise KeyboardInterrupt

def exits(query):
    sys.exit(0)

def exits_hard(query):
    os._exit(0)

def recurses(query):
    return recurses(query)

def hogs(query):
    return torch.ones(8 * 2**30, dtype=torch.uint8)

def hogs_in_python(query):
    return [bytearray(2**26) for _ in range(40)]

def loops(query):
    while True:
        pass

def sleeps_and_refuses(query):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)

def kills_itself(query):
    os.kill(os.getpid(), signal.SIGKILL)

def kills_its_parent(query):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)

def segfaults(query):
    ctypes.string_at(0)

def aborts(query):
    os.abort()

def floods(query):
    while True:
        print("x" * 1000)

def floods_slowly(query):
    print("x" * 5_000_000)

def closes_everything(query):
    os.closerange(0, 200)
    return query

def writes_everywhere(query):
    for number in range(3, 64):
        try:
            os.write(number, b"garbage" * 100)
        except OSError:
            pass
    return query

def writes_a_fake_frame(query):
    import json, struct
    text = json.dumps({"id": 99, "structure": {"type": "none"}}).encode()
    for number in range(3, 64):
        try:
            os.write(number, struct.pack("!4sIQ", b"ATN\\x01", len(text), 0) + text)
        except OSError:
            pass
    return query

class Slow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query):
        return query.clone()
    @staticmethod
    def backward(ctx, gradient):
        time.sleep(1000)

class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query):
        return query.clone()
    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("no way back")

def slow_backward(query):
    return Slow.apply(query)

def broken_backward(query):
    return Broken.apply(query)

def prints(query):
    print("one: café")
    print("two", file=sys.stderr)
    os.write(1, b"three\\n\\xff\\n")
    ctypes.CDLL(None).puts(b"four")
    os.system("echo five")
    return query + 1
"""


@pytest.fixture(scope="module", params=["process", pytest.param("bwrap", marks=pytest.mark.slow)])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    if request.param == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    limits = {"call_seconds": CALL_SECONDS, "memory_bytes": 256 << 20}
    with serving(tmp_path_factory.mktemp("submission"), SOURCE, request.param, **limits) as made:
        yield made


def spec(target: str, *, grad: bool = False) -> CallSpec:
    return CallSpec(target, (("query", TensorRef("query")),), grad=grad, requires_grad=("query",) if grad else ())


def check_the_next_call_works(remote: SandboxClient) -> None:
    call = remote.call(spec("fine"), {"query": torch.zeros(2)})
    assert call.tensors["result"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        ("raises", "raised", "ValueError: not like this: xxx"),
        ("raises_odd", "raised", "Odd (its __str__ raised RuntimeError)"),
        ("raises_lone_surrogate", "raised", "ValueError: \\ud800"),
        ("skips", "raised", "Skipped: not today"),
        ("xfails", "raised", "not today"),
        ("quits_pytest", "raised", "Exit: stop"),
        ("interrupts", "raised", "KeyboardInterrupt"),
        ("exits", "exited", "SystemExit, code 0"),
        ("recurses", "raised", "RecursionError"),
        ("hogs", "out-of-memory", "The memory limit was reached"),
        ("hogs_in_python", "out-of-memory", "The memory limit was reached"),
        ("absent", "raised", "absent"),
    ],
)
def test_an_exception_leaves_the_worker_alive(remote: SandboxClient, target: str, name: str, words: str) -> None:
    if name == "out-of-memory" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits private memory")
    before = remote.replacements
    with pytest.raises(SubmissionError) as caught:
        remote.call(spec(target), {"query": torch.zeros(2)})
    assert caught.value.name == name
    assert words in caught.value.message
    assert len(caught.value.message) < 3000
    assert len(caught.value.traceback) < 10_000
    if target != "absent":
        assert caught.value.where is not None
        assert caught.value.where.startswith("student.py:")
        assert f"in {'inner' if target == 'raises' else target}\n" in caught.value.traceback
    check_the_next_call_works(remote)
    assert remote.replacements == before


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        ("loops", "timeout", "After 1 s the call had not ended"),
        ("sleeps_and_refuses", "timeout", "After 1 s the call had not ended"),
        ("exits_hard", "exited", "exit code 0"),
        ("kills_itself", "crashed", "SIGKILL"),
        ("segfaults", "crashed", "SIGSEGV"),
        ("aborts", "crashed", "SIGABRT"),
        ("floods", "output-flood", "printed more than"),
        ("floods_slowly", "output-flood", "printed more than"),
        ("closes_everything", "malformed-reply", ""),
        ("writes_everywhere", "malformed-reply", "a frame starts with"),
        ("writes_a_fake_frame", "malformed-reply", "a reply to request 99"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals and descriptors are POSIX")
def test_what_ends_the_worker_is_named_in_time_and_the_worker_replaced(
    remote: SandboxClient, target: str, name: str, words: str
) -> None:
    check_the_next_call_works(remote)
    before = remote.replacements
    started = time.monotonic()
    with pytest.raises(SubmissionError) as caught:
        remote.call(spec(target), {"query": torch.zeros(2)})
    assert time.monotonic() - started < CALL_SECONDS + 2
    if target != "closes_everything":  # a dead socket ends the loop, which may be seen as either
        assert caught.value.name == name
        assert words in caught.value.message
    assert caught.value.name in {name, "exited", "crashed"}
    check_the_next_call_works(remote)
    assert remote.replacements == before + 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a parent that may be killed")
def test_killing_the_supervisor_ends_the_worker(remote: SandboxClient) -> None:
    started = time.monotonic()
    with pytest.raises(SubmissionError) as caught:
        remote.call(spec("kills_its_parent"), {"query": torch.zeros(2)})
    # In new namespaces there is no process above that could be killed; where signals are confined, it may not be.
    assert caught.value.name in {"crashed", "timeout"} or "PermissionError" in caught.value.message
    assert time.monotonic() - started < CALL_SECONDS + 2
    check_the_next_call_works(remote)


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [("slow_backward", "timeout", "the backward pass"), ("broken_backward", "raised", "ValueError: no way back")],
)
def test_a_failing_backward_is_named_too(remote: SandboxClient, target: str, name: str, words: str) -> None:
    query = torch.zeros(2, requires_grad=True)
    result = remote.call_with_autograd(spec(target), {"query": query}).tensors["result"]
    started = time.monotonic()
    with pytest.raises(SubmissionError) as caught:
        result.sum().backward()
    assert time.monotonic() - started < CALL_SECONDS + 2
    assert caught.value.name == name
    assert words in caught.value.message
    check_the_next_call_works(remote)


def test_a_graph_of_a_dead_worker_fails_as_that_worker_did(remote: SandboxClient) -> None:
    query = torch.zeros(2, requires_grad=True)
    result = remote.call_with_autograd(spec("fine"), {"query": query}).tensors["result"]
    with pytest.raises(SubmissionError):
        remote.call(spec("exits_hard"), {"query": query})
    check_the_next_call_works(remote)
    with pytest.raises(SubmissionError) as caught:
        result.sum().backward()
    assert caught.value.name == "exited"


@pytest.mark.skipif(sys.platform == "win32", reason="C's buffers are flushed on POSIX only")
def test_what_is_printed_is_captured_and_never_reaches_the_wire(remote: SandboxClient) -> None:
    call = remote.call(spec("prints"), {"query": torch.zeros(2)})
    assert call.tensors["result"].tolist() == [1, 1]
    wanted = ["one: café", "two", "three", "�", "four", "five"]
    give_up = time.monotonic() + 5
    while "five" not in remote.captured_output and time.monotonic() < give_up:
        time.sleep(0.01)
    assert all(f"{line}\n" in remote.captured_output for line in wanted)


def test_captured_output_survives_the_worker(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text("import os\nprint('last words')\nos._exit(3)\n")
    with SandboxClient(lambda: make_worker(tmp_path)) as remote:
        with pytest.raises(SubmissionError, match="exit code 3"):
            remote.describe(path=str(tmp_path / "student.py"))
        assert remote.captured_output == "last words\n"
    assert remote.captured_output == "last words\n"
    assert (remote.peak_rss_bytes or 0) > 50_000_000


def test_a_number_of_thousands_of_digits_is_cut_out() -> None:
    """Python refuses to read it, wherever a message is searched for sizes."""
    words = dict.fromkeys(("message", "remedy", "where", "traceback"), "size " + "9" * 20_000)
    error = student_failure({"name": "raised", **words})
    assert error is not None
    assert (error.message, error.remedy, error.where, error.traceback) == ("size …",) * 4
    error = student_failure({"name": "raised", "message": "x" * 20_000})
    assert error is not None
    assert len(error.message) == 2000
