from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from pytest_attn_grader.sandbox.socket_pair import make_socket_pair


@pytest.mark.skipif(os.name != "posix", reason="Windows has no socket.SOCK_SEQPACKET")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_both_ends_are_connected_and_private_to_this_process(kind: int) -> None:
    one, other = make_socket_pair(kind)
    with one, other:
        one.sendall(b"hello")
        assert other.recv(10) == b"hello"
        assert (one.type, one.family) == (kind, socket.AF_UNIX)
        assert not os.get_inheritable(one.fileno())
        assert not os.get_inheritable(other.fileno())
        assert one.gettimeout() is None


@pytest.mark.skipif(os.name != "posix", reason="Windows makes a pair of the replaced class")
def test_a_plugin_that_forbids_sockets_does_not_keep_a_worker_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pytest-socket does it for the time of a test."""

    class GuardedSocket(socket.socket):
        def __new__(cls, *_: Any, **__: Any) -> Any:
            raise RuntimeError("a test tried to use a socket")

    monkeypatch.setattr(socket, "socket", GuardedSocket)
    with pytest.raises(RuntimeError):
        socket.socket()
    one, other = make_socket_pair()
    one.close()
    assert other.recv(1) == b""
    other.close()
