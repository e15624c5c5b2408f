"""What a submission cannot do in either tier, as root and as an ordinary user, started and forked."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from typing import Any

import pytest

from pytest_attn_grader.sandbox.worker import privileges
from tests.support.sandboxes import TRIED, needs_bwrap, run_as

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="privileges are dropped on Linux")

# Run by the submission: each attempt's outcome is "done" or the name of an error.
SUBMISSION = (
    """
import ctypes, json, mmap, os, resource, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
"""
    + TRIED
    + """
def syscall(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def grader_memory():
    with open(f"/proc/{GRADER}/mem", "r+b") as memory:
        memory.seek(ADDRESS)
        memory.write(b"wrong!")

def attention(query):
    supervisor = os.getppid() or 1  # in namespaces, of a forked worker: what holds them open
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(json.dumps({
        "grader memory": tried(grader_memory),
        "supervisor memory": tried(lambda: open(f"/proc/{supervisor}/mem", "r+b")),
        "ptrace": tried(lambda: syscall(101 if X86 else 117, 16, supervisor, 0, 0)),
        "signal everybody": tried(lambda: os.kill(-1, 0)),
        "signal supervisor": tried(lambda: os.kill(supervisor, 0)),
        "signal itself": tried(lambda: os.kill(os.getpid(), 0)),
        "grader limits": tried(lambda: resource.prlimit(supervisor, resource.RLIMIT_CPU)),
        "own limits": tried(lambda: resource.getrlimit(resource.RLIMIT_CPU)),
        "memfd": tried(lambda: os.memfd_create("hoard")),
        "shared memory": tried(lambda: syscall(29 if X86 else 194, 0, 4096, 0o1600)),
        "keyring": tried(lambda: syscall(250 if X86 else 219, 0, -3, 0)),
        "bpf": tried(lambda: syscall(321 if X86 else 280, 0, 0, 0)),
        "io_uring": tried(lambda: syscall(425, 1, 0)),
        "vsock": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
        "internet": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
        "user namespace": tried(lambda: syscall(272 if X86 else 97, 0x10000000)),
        "clone into a namespace": tried(lambda: syscall(56 if X86 else 220, 0x10000011, 0, 0, 0, 0)),
        "core pattern": tried(lambda: open("/proc/sys/kernel/core_pattern", "r+b")),
        "drop caches": tried(lambda: open("/proc/sys/vm/drop_caches", "r+b")),
        "sysrq": tried(lambda: open("/proc/sysrq-trigger", "r+b")),
        "capabilities": [int(status[name], 16) & ~2 for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
        "no new privileges": int(status["NoNewPrivs"]),
        "user": sorted({*os.getresuid(), *os.getresgid(), *os.getgroups()}),
        "write into the python": tried(lambda: open(ctypes.__file__, "r+b")),
    }))
    return query
"""
)
GRADER = """
import ctypes, os, sys
from pathlib import Path
import torch
from pytest_attn_grader.sandbox import fork_server, launch
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE

folder, tier, kind, source = sys.argv[1:]
verdict = ctypes.create_string_buffer(b"failed")
file = Path(folder) / "student.py"
file.write_text(
    source.replace("GRADER", str(os.getpid())).replace("ADDRESS", str(ctypes.addressof(verdict)))
    .replace("X86", str(os.uname().machine == "x86_64"))
)
if kind == "forked":
    server = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
    server.forks_into_namespaces = True
    fork_server.set_fork_server(server)
bwrap = tier == "bwrap"
worker = WorkerProcess(
    root=Path(folder), import_paths=sys.path, limits=Limits(), service=SERVICE, in_namespaces=bwrap
)
with SandboxClient(lambda: worker) as client:
    client.describe(path=str(file))
    client.call(CallSpec("attention", (("query", TensorRef("query")),)), {"query": torch.zeros(1)})
    unenforced = client.unenforced
print(client.captured_output)
print(verdict.value.decode(), *unenforced)
if kind == "forked":
    server.close()
"""
REFUSED = (
    "grader memory", "supervisor memory", "ptrace", "signal everybody", "grader limits", "memfd", "shared memory",
    "keyring", "bpf", "io_uring", "vsock", "user namespace", "clone into a namespace",
)  # fmt: skip


def attempts(user: str, tier: str, kind: str) -> tuple[dict[str, Any], list[str]]:
    with tempfile.TemporaryDirectory() as folder:  # not pytest's own, which only this user can enter
        os.chmod(folder, 0o777)
        lines = run_as(user, GRADER, folder, tier, kind, SUBMISSION).splitlines()
    return json.loads(lines[0]), lines[-1].split()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in privileges.MACHINES, reason="no system-call filter for this machine")
@pytest.mark.parametrize("kind", ["started", "forked"])
@pytest.mark.parametrize("tier", ["process", pytest.param("bwrap", marks=needs_bwrap)])
@pytest.mark.parametrize("user", ["root", "readable root", "ordinary"])
def test_a_submission_reaches_nothing_outside(user: str, tier: str, kind: str) -> None:
    seen, (verdict, *unenforced) = attempts(user, tier, kind)
    assert verdict == "failed"
    assert {name: seen[name] for name in REFUSED if seen[name] == "done"} == {}
    if "other_processes" not in unenforced and tier == "process":
        assert seen["signal supervisor"] == "PermissionError"
    assert seen["signal itself"] == seen["own limits"] == seen["internet"] == "done"
    assert seen["capabilities"] == [0] * 4
    assert seen["no new privileges"] == 1
    if user == "readable root":
        assert seen["user"] == [privileges.ORDINARY_USER]
        assert seen["write into the python"] != "done"
    if tier == "bwrap":
        assert "done" not in {seen[name] for name in ("core pattern", "drop caches", "sysrq")}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not root")
@pytest.mark.parametrize(
    ("name", "mode", "suffices"), [("", 0o755, True), ("", 0o700, False), ("student.py", 0o600, False)]
)
def test_uid_0_is_left_where_another_user_can_read_the_submission(name: str, mode: int, suffices: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        file = os.path.join(folder, "student.py")
        with open(file, "w"):
            os.chmod(file, 0o644)
        os.chmod(os.path.join(folder, name), mode)
        assert privileges.ordinary_user_suffices(folder, ["/usr"]) is suffices
        assert not privileges.ordinary_user_suffices(folder, None)
        assert not privileges.ordinary_user_suffices(folder, ["/usr", "/proc/1/ns"])
    assert os.geteuid() == 0


def test_a_filter_allows_what_it_does_not_name() -> None:
    for machine, (architecture, _) in privileges.MACHINES.items():
        program = privileges.build_filter(machine)
        assert evaluate(program, architecture, 0) == ALLOWED
        assert evaluate(program, architecture, 1) == ALLOWED
        assert evaluate(program, architecture + 1, 0) != ALLOWED


@pytest.mark.parametrize(
    ("name", "argument", "allowed"),
    [
        ("CLONE", 0x11, True),
        ("CLONE", 0x10000011, False),
        ("CLONE", 0x00020000, False),
        ("SOCKET", 2, True),
        ("SOCKET", 16, True),
        ("SOCKET", 40, False),
        ("SOCKET", 0, False),
        ("KILL", 4711, True),
        ("KILL", 0xFFFFFFFF, False),
        ("PRLIMIT", 0, True),
        ("PRLIMIT", 1, False),
        ("CLONE3", 0, False),
    ],
)
@pytest.mark.parametrize("machine", privileges.MACHINES)
def test_a_filter_looks_at_the_first_argument(machine: str, name: str, argument: int, allowed: bool) -> None:
    architecture, column = privileges.MACHINES[machine]
    number = getattr(privileges, f"_{name}")[column]
    answer = evaluate(privileges.build_filter(machine), architecture, number, argument)
    assert (answer == ALLOWED) is allowed


@pytest.mark.parametrize("machine", privileges.MACHINES)
def test_a_filter_refuses_every_call_of_its_list(machine: str) -> None:
    architecture, column = privileges.MACHINES[machine]
    program = privileges.build_filter(machine)
    answers = {name: evaluate(program, architecture, each[column]) for name, each in privileges._DENIED.items()}
    assert set(answers.values()) == {0x0005_0001}


ALLOWED = 0x7FFF_0000


def evaluate(program: list[tuple[int, int, int, int]], architecture: int, number: int, argument: int = 0) -> int:
    """What the kernel would answer: the few instructions that the filter uses."""
    data = {0: number, 4: architecture, 16: argument}
    accumulator = position = 0
    while True:
        code, if_true, if_false, constant = program[position]
        position += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            accumulator = data[constant]
            continue
        met = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}[code]
        position += if_true if met else if_false
