"""Frames and tensors survive the way there and back; anything else is a WireError, at once."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_attn_grader.sandbox.worker import protocol

DTYPES = [getattr(torch, name) for name in sorted(protocol.ALLOWED_DTYPES)]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def make_tensor(dtype: torch.dtype, shape: list[int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=generator).to(dtype)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=5), st.integers(0, 9)),
        max_size=4,
    )
)
def test_tensors_survive(described: dict[str, tuple[torch.dtype, list[int], int]]) -> None:
    tensors = {name: make_tensor(*each) for name, each in described.items()}
    decoded = protocol.decode_tensors(protocol.encode_tensors(tensors))
    assert decoded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert decoded[name].dtype == tensor.dtype
        assert decoded[name].shape == tensor.shape
        assert torch.equal(decoded[name], tensor)
        assert decoded[name].is_contiguous()


def test_nan_and_infinity_survive() -> None:
    tensor = torch.tensor([float("nan"), float("inf"), -0.0])
    decoded = protocol.decode_tensors(protocol.encode_tensors({"t": tensor}))["t"]
    assert torch.equal(decoded.view(torch.int32), tensor.view(torch.int32))


def decode_frame(data: bytes) -> tuple[dict[str, object], bytearray]:
    reader, writer = socket.socketpair()
    with reader:
        with writer:
            writer.sendall(data)
        return protocol.receive_frame(reader, deadline=time.monotonic() + 5)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.binary(max_size=100))
def test_frames_survive(header: dict[str, object], payload: bytes) -> None:
    frame = b"".join(protocol.encode_frame(header, payload))
    assert decode_frame(frame) == (header, payload)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(protocol.WireError):
        decode_frame(data)
    if data:
        with pytest.raises(protocol.WireError):
            protocol.decode_tensors(data)


def test_a_million_empty_tensors_are_refused_before_they_are_made() -> None:
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    few, many = ({f"t{number}": empty for number in range(count)} for count in (5_000, 50_000))
    assert len(protocol.decode_tensors(safetensors_bytes(few, b""))) == 5_000
    with pytest.raises(protocol.WireError, match="described in more than"):
        protocol.decode_tensors(safetensors_bytes(many, b""))


FRAME = b"".join(protocol.encode_frame({"op": "call", "id": 7}, protocol.encode_tensors({"query": torch.ones(2, 3)})))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(FRAME) - 1), st.integers(0, 255), st.integers(0, len(FRAME)))
def test_damaged_frames_never_crash_the_decoder(position: int, value: int, length: int) -> None:
    damaged = bytearray(FRAME)
    damaged[position] = value
    for data in (bytes(damaged), FRAME[:length], bytes(damaged[:length])):
        try:
            _, payload = decode_frame(data)
            protocol.decode_tensors(payload)
        except protocol.WireError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_on_a_socket_neither_hangs_nor_crashes(data: bytes, good_start: bool) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.sendall((protocol.MAGIC if good_start else b"") + data)
        writer.close()
        with pytest.raises(protocol.WireError):
            protocol.receive_frame(reader, deadline=time.monotonic() + 5)


@pytest.mark.parametrize(
    ("header_len", "payload_len"), [(protocol.MAX_HEADER_BYTES + 1, 0), (2, 2**63), (2**32 - 1, 2**64 - 1)]
)
def test_a_claimed_size_is_refused_before_anything_is_read(header_len: int, payload_len: int) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.sendall(struct.pack("!4sIQ", protocol.MAGIC, header_len, payload_len))
        with pytest.raises(protocol.WireError, match="over the limit") as caught:
            protocol.receive_frame(reader, max_payload_bytes=1000, deadline=time.monotonic() + 5)
    assert caught.value.fault == "malformed"


@pytest.mark.parametrize(
    "raw",
    [
        b"[1]",
        b"nonsense",
        b"{" * 5,
        b"[" * 100_000,
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"\\uDfff":1}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_bad_header_is_malformed(raw: bytes) -> None:
    with pytest.raises(protocol.WireError) as caught:
        decode_frame(struct.pack("!4sIQ", protocol.MAGIC, len(raw), 0) + raw)
    assert caught.value.fault == "malformed"


def test_text_that_only_looks_like_a_surrogate_is_fine() -> None:
    header = {"message": "write \\ud800 like this"}
    assert decode_frame(b"".join(protocol.encode_frame(header)))[0] == header


def safetensors_bytes(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "header",
    [
        {"t": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [0, 2**63 - 1], "data_offsets": [0, 0]}},
        {"t": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"t": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}},
        {"t": {"dtype": "U64", "shape": [1], "data_offsets": [0, 8]}},
        {"t": {"dtype": "F32", "shape": [1] * 40, "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        [],
    ],
)
def test_lying_safetensors_are_malformed(header: object) -> None:
    with pytest.raises(protocol.WireError):
        protocol.decode_tensors(safetensors_bytes(header, b"\0" * 8))


def test_the_deadline_covers_a_frame_that_trickles_in() -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.sendall(FRAME[:30])
        started = time.monotonic()
        with pytest.raises(protocol.WireError) as caught:
            protocol.receive_frame(reader, deadline=started + 0.2, on_wait=lambda: writer.send(b" ") and None)
    assert caught.value.fault in {"late", "malformed"}
    assert time.monotonic() - started < 1


def test_the_deadline_covers_sending_to_someone_who_does_not_read() -> None:
    reader, writer = socket.socketpair()
    with reader, writer, pytest.raises(protocol.WireError) as caught:
        protocol.send_frame(writer, {}, bytes(50_000_000), deadline=time.monotonic() + 0.2)
    assert caught.value.fault == "late"


def test_a_header_over_the_limit_is_not_sent() -> None:
    with pytest.raises(protocol.WireError, match="over the limit"):
        protocol.encode_frame({"text": "x" * protocol.MAX_HEADER_BYTES})


PROOF = "import sys; sys.path.insert(0, {path!r}); import {name}; print('torch' in sys.modules)"


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("pytest_attn_grader.sandbox.worker.protocol", False),
        ("pytest_attn_grader.sandbox.worker_process", False),
        ("torch", True),  # the proof can fail
    ],
)
def test_the_grader_imports_no_torch_for_it(name: str, loaded: bool, pytestconfig: pytest.Config) -> None:
    code = PROOF.format(path=str(pytestconfig.rootpath), name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded)
