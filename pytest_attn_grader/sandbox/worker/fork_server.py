"""Fork workers from a process that has loaded torch and nothing of any submission. Part of the worker.

A forked worker costs a few milliseconds, a new interpreter a second or two. Each worker has its own supervisor, limits
and, when asked for, namespaces. The fork server never sees requests: configuration goes straight to the supervisor,
over its standard input.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from . import namespaces
from .privileges import hide_memory
from .supervisor import become_subreaper, supervise

# Of a worker: its socket, its supervisor's standard input, where it prints, and the grader's process.
DESCRIPTORS = 4
_MAX_CONFIG_BYTES = 1 << 20


def serve_forks(requests: int, bare_path: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """Fork for every request; returns in each worker, with its socket and what the grader wants of it.

    Args:
        requests: a socket; every message on it carries the descriptors of one worker. Its end is the end of this
            process.
        bare_path: `sys.path` without the places that the grader named.
    """
    listening = socket.socket(fileno=requests)
    # A worker that wrote here would write into every later one.
    hide_memory()
    become_subreaper()  # of the processes of a worker whose supervisor is dead; the grader kills them
    # SIGCHLD is ignored, so the kernel reaps the supervisors.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is here stays: a collection in a worker would only copy these pages.
    gc.collect()
    gc.freeze()
    while True:
        asked, descriptors, _, _ = socket.recv_fds(listening, 1, DESCRIPTORS)
        # Not to be inherited by bubblewrap: a process descriptor in a sandbox would be a way to signal the grader.
        # Python 3.11's recv_fds does not pass MSG_CMSG_CLOEXEC on.
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not asked:
            os._exit(0)
        # A grader whose socket is closed without an answer starts its worker in another way.
        with contextlib.suppress(OSError):
            if len(descriptors) == DESCRIPTORS and os.fork() == 0:
                listening.close()
                return _become_worker(descriptors, bare_path)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_worker(descriptors: Sequence[int], bare_path: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """Go on as the supervisor, which does not return, and as its worker, which does."""
    connection, control, output, grader = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor, number in ((control, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    for descriptor in {control, output}:
        os.close(descriptor)
    os.setsid()
    with open(0, "rb", closefd=False) as standard_input:
        config: dict[str, Any] = json.loads(standard_input.readline(_MAX_CONFIG_BYTES))
    os.write(0, b"pid %d\n" % os.getpid())
    around = config["namespaces"]
    fork = None if around is None else partial(namespaces.fork_worker_inside, around)
    supervise(connection, config, fork=fork, grader=grader)
    _close_other_fds(connection)
    os.chdir(config["root"])
    os.environ.update(config["environment"])
    sys.path[:] = [*bare_path, *(path for path in config["import_paths"] if path not in bare_path)]
    return connection, config


def _close_other_fds(connection: int) -> None:
    """A descriptor from outside would be a way out of the namespaces, or to what belongs to another."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != connection:
            # The listing's own is among them.
            with contextlib.suppress(OSError):
                os.close(int(name))
