"""Ten thousand frames that are not quite what was asked for: each is read, or refused by its name; nothing else."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
import struct
import threading
import time
from typing import Any

import psutil
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.exit_reasons import student_failure
from pytest_attn_grader.sandbox.worker import protocol
from pytest_attn_grader.submission.remote import reply_validation
from pytest_attn_grader.submission.remote.messages import TensorMeta

# `python -m tests.benchmarks.leaks` reads ten thousand.
FRAMES = 2_000
MOST_GROWTH_BYTES = 300 << 20
TENSORS = {"result.0": torch.ones(2, 3), "input.query": torch.zeros(2), "attribute.w": torch.ones(1)}
CALL: dict[str, Any] = {
    "id": 7,
    "structure": {"type": "tuple", "items": [{"type": "tensor", "name": "result.0"}, {"type": "none"}]},
    "seconds": 0.5,
    "library_calls": {"sdpa": 1},
    "requires_grad": {"result.0": True},
    "handle": 3,
    "attributes": ["w"],
}
PARAMETER = {"name": "query", "kind": "positional-or-keyword", "has_default": False, "default": None}
CANDIDATE = {"name": "attention", "kind": "function", "parameters": [PARAMETER], "line": 3, "file": "student.py"}
DESCRIPTION: dict[str, Any] = {
    "id": 1,
    "name": "attention",
    "candidates": [CANDIDATE],
    "mask_convention": None,
    "files": ["student.py"],
    "transformers_imported": False,
    "changed_state": [],
}
WEIGHT = {"name": "w", "shape": [2, 3], "dtype": "float32", "owner": "Linear", "lazy": False}
MODULE: dict[str, Any] = {
    "id": 2,
    "parameters": [WEIGHT],
    "sizes": {"num_heads": 4},
    "unregistered": [],
    "has_loader": False,
}
GRADIENTS: dict[str, Any] = {"id": 3, "gradients": {"query": "grad.query"}, "seconds": 0.1}
CONSTRUCTED: dict[str, Any] = {
    "id": 4,
    "handle": 1,
    "is_module": True,
    "config_read": {"n_embd": 4},
    "lengthened": {"BLOCK_SIZE": 1024},
}
FAILURE: dict[str, Any] = {"id": 5, "failure": {"name": "raised", "message": "x", "where": "student.py:1"}}
GOOD = (CALL, DESCRIPTION, MODULE, GRADIENTS, CONSTRUCTED, FAILURE)

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -1, 10**30, 1e308, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["result.0", "tensor", "tuple", "dict", "passed", "\x00", "../../etc", "x" * 5000])
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """A good header with some of its parts replaced, added or left out."""
    header = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = header
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
                place = inner
                continue
            deed = draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
            if deed == "replace":
                place[key] = draw(anything)
            elif deed == "remove":
                del place[key]
            elif isinstance(place, dict):
                place[draw(st.text(max_size=8))] = draw(anything)
            else:
                place.extend([draw(anything)] if deed == "add" else place[:] * draw(st.sampled_from([1, 5, 3000])))
            break
    return header


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """The bytes of a frame: as it should be, damaged somewhere, cut short, with something after it, or no frame."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    text = json.dumps(draw(headers())).encode("utf-8", "surrogatepass")
    payload = draw(st.sampled_from([b"", protocol.encode_tensors(TENSORS)]))
    if payload and draw(st.booleans()):
        damaged = bytearray(payload)
        for _ in range(draw(st.integers(1, 8))):
            # The first bytes hold the lengths and the JSON of safetensors: most of what can go wrong.
            damaged[draw(st.integers(0, min(300, len(damaged) - 1)))] = draw(st.integers(0, 255))
        payload = bytes(damaged)
    lengths = draw(st.sampled_from([None, None, None, (0, 0), (2**32 - 1, 2**64 - 1), (5, 2**40), (len(text), 10**9)]))
    start = struct.pack("!4sIQ", protocol.MAGIC, *(lengths or (len(text), len(payload))))
    whole = start + text + payload
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.integers(0, 4)) == 0 else whole


def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the reader may have had enough of it
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def read(data: bytes) -> str:
    """Do with a frame what the grader does; return what became of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=_send, args=(theirs, data), daemon=True)
        sender.start()  # what is longer than the socket's buffer must not wait for who reads it
        try:
            header, payload = protocol.receive_frame(ours, max_payload_bytes=1 << 20, deadline=time.monotonic() + 60)
            tensors = protocol.decode_tensors(payload)
        except protocol.WireError as error:
            return error.fault
    seen = 0
    refusals: list[SubmissionError] = []
    inputs = {"query": TensorMeta.of(torch.zeros(2))}
    for reader in (
        lambda: reply_validation.read_call(header, tensors, ("query",)),
        lambda: reply_validation.read_description(header),
        lambda: reply_validation.read_module(header),
        lambda: reply_validation.read_gradients(header, {**tensors, "grad.query": torch.zeros(2)}, inputs),
        lambda: reply_validation.read_constructed(header),
    ):
        try:
            with reply_validation.refuse_malformed(None):
                reader()
            seen += 1
        except SubmissionError as error:
            refusals.append(error)
    assert all(error.name == "malformed-reply" and len(error.message) < 2000 for error in refusals)
    failure = header.get("failure")
    if failure is not None:
        known = student_failure(failure)
        assert known is None or len(known.message) <= 10_000
    return "read" if seen else "refused"


@pytest.mark.parametrize("good", GOOD, ids=["call", "description", "module", "gradients", "constructed", "failure"])
def test_what_is_as_it_should_be_is_read(good: dict[str, Any]) -> None:
    payload = protocol.encode_tensors(TENSORS) if good is CALL else b""
    assert read(b"".join(protocol.encode_frame(good, payload))) == ("refused" if good is FAILURE else "read")


@pytest.mark.slow
def test_thousands_of_frames() -> None:
    seen: dict[str, int] = {}

    @settings(
        max_examples=FRAMES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(frames())
    def fuzz(data: bytes) -> None:
        outcome = read(data)
        event(outcome)
        seen[outcome] = seen.get(outcome, 0) + 1

    before = psutil.Process().memory_info().rss
    fuzz()
    assert sum(seen.values()) >= FRAMES
    # All of it was tried: what is good, what is no frame, what breaks off, and what lies.
    assert min(seen.get(outcome, 0) for outcome in ("read", "refused", "malformed", "closed")) > FRAMES // 100, seen
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH_BYTES
