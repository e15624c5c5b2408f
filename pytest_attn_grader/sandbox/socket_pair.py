"""Make two connected sockets, also during a test for which pytest-socket has replaced `socket.socket`."""

from __future__ import annotations

import socket
import sys

if sys.platform != "win32":
    import _socket

# pytest-socket forbids a test to make sockets; the process of a submission is started and reached by them.
_Socket = socket.socket


def make_socket_pair(kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
    """Return two sockets that are connected to each other."""
    if sys.platform == "win32":
        return socket.socketpair()
    first, second = _socket.socketpair(socket.AF_UNIX, kind)
    return _Socket(fileno=first.detach()), _Socket(fileno=second.detach())
