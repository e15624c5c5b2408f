"""Drop privileges for good before any student code runs (Linux). Part of the worker.

What a submission keeps is its user's files and an ordinary program's system calls. It loses:

- uid 0, where an ordinary user can read all that it needs;
- capabilities, and every way to regain them (setuid programs, user namespaces);
- reach over processes outside its Landlock domain: ptrace, their memory, and (Linux 6.12) signals;
- system calls that attention never needs and that reach past the other limits (`_DENIED`).

The calls are made through ctypes, because neither Python nor torch's dependencies have them. bubblewrap's own options
would serve only a worker that bubblewrap starts, not one that is forked, and not the tier `process`. Depends on the
standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator, Sequence

PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 22, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x2008_0522
_MAX_CAPABILITIES = 64
CAP_DAC_OVERRIDE = 1 << 1
ORDINARY_USER = 65534  # the overflow user, and the group of that number
_MAX_ENTRIES = 2000  # a folder with more of them is not searched
_EPERM, _ENOSYS = 1, 38

# <linux/landlock.h>: the same numbers on every machine.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_MAKE_BLOCK_DEVICE = 1 << 11  # a ruleset must refuse something; a worker makes no device
_LANDLOCK_SCOPE_ABSTRACT_UNIX, _LANDLOCK_SCOPE_SIGNAL = 1, 2

MACHINES = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}  # <linux/audit.h>, column below
# Refused with EPERM; numbers on x86-64 and on 64-bit ARM. Calls that need a capability are refused without this list.
_DENIED = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "perf_event_open": (298, 241),
    # memory that belongs to no process, so that no limit counts it and nothing frees it
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180),
    # keys of the user's session
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # parts of the kernel with a large surface
    "bpf": (321, 280), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "userfaultfd": (323, 282), "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
}  # fmt: skip
_CLONE3, _CLONE, _SOCKET, _KILL, _PRLIMIT = (435, 435), (56, 220), (41, 198), (62, 129), (302, 261)
_NAMESPACE_FLAGS = 0x7E02_0000
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, which getaddrinfo asks for addresses
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_X32 = 0x4000_0000  # the same calls once more, under other numbers


class PrivilegeError(OSError):
    """Privileges that every Linux lets a process drop are still there."""


def drop_privileges(*, keep: int = 0) -> list[str]:
    """Drop privileges of this process and all that it starts; return the parts that this kernel does not have.

    Args:
        keep: capabilities to keep, as bits, if they are there.

    Raises:
        PrivilegeError: capabilities are left, or could be regained.
    """
    if not sys.platform.startswith("linux"):
        return ["other_processes", "system_calls"]
    library = ctypes.CDLL(None, use_errno=True)
    drop_capabilities(keep=keep)
    missing = [] if _enter_landlock_domain(library) else ["other_processes"]
    return missing if _filter_system_calls() else [*missing, "system_calls"]


def ordinary_user_suffices(root: str, needed: Sequence[str] | None) -> bool:
    """Whether this process is root, and a worker of this submission can run as an ordinary user instead.

    Args:
        root: the submission's folder. That user must be able to read every file in it.
        needed: other places that must be readable; None where that user cannot run a worker at all.
    """
    if needed is None or os.geteuid() != 0:
        return False
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(OSError):
            become_ordinary_user()
            code = 0 if _is_readable(root, needed) else 1
        os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def become_ordinary_user() -> None:
    """Leave uid 0 and every group of root's for good."""
    os.setgroups([])
    os.setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
    os.setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)


def _is_readable(root: str, needed: Sequence[str]) -> bool:
    places = [*needed, *(os.path.join(each, "torch", "__init__.py") for each in needed)]
    if not all(os.access(each, os.R_OK) for each in places if os.path.lexists(each)):
        return False
    if not all(os.access(each, os.R_OK | os.X_OK) for each in (*needed, root) if not os.path.isfile(each)):
        return False
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".") and each != "__pycache__"]
        seen += len(folders) + len(files)
        inside = [os.path.join(folder, each) for each in (*folders, *files)]
        if seen > _MAX_ENTRIES or not all(os.access(each, os.R_OK) for each in inside):
            return False
    return True


def drop_capabilities(*, keep: int = 0) -> None:
    """Drop capabilities but those in `keep`, and never gain one again.

    Raises:
        PrivilegeError: some are left, or could be regained.
    """
    set_process_option(_PR_SET_NO_NEW_PRIVS, 1)
    for number in range(_MAX_CAPABILITIES):
        if not keep >> number & 1:
            set_process_option(_PR_CAPBSET_DROP, number)
    set_process_option(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    kept = _read_status()["CapPrm"] & keep
    # Two halves of 32 bits, each with the effective, permitted and inheritable set.
    sets = (ctypes.c_uint32 * 6)(kept & 0xFFFF_FFFF, kept & 0xFFFF_FFFF, 0, kept >> 32, kept >> 32, 0)
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), sets)
    # As after any start of a program: the supervisor reads how much memory this process takes.
    set_process_option(PR_SET_DUMPABLE, 1)
    # Asked of the system, not of the calls above.
    status = _read_status()
    left = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if status[name] & ~keep]
    if left or status["NoNewPrivs"] != 1:
        raise PrivilegeError(f"capabilities are left in {', '.join(left) or 'the programs that it may start'}")


def set_process_option(option: int, value: int) -> bool:
    """Call prctl(2) with one argument; False where the system refuses or has no such call."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    zero = ctypes.c_ulong(0)
    return function is not None and function(option, ctypes.c_ulong(value), zero, zero, zero) == 0


def hide_memory() -> bool:
    """Keep other processes of the same user from reading or writing this one's memory."""
    return set_process_option(PR_SET_DUMPABLE, 0)


def _enter_landlock_domain(library: ctypes.CDLL) -> bool:
    """Enter a new Landlock domain, from which no process outside can be traced or signalled."""
    syscall = library.syscall
    version = syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    scoped = _LANDLOCK_SCOPE_ABSTRACT_UNIX | _LANDLOCK_SCOPE_SIGNAL
    # Each version of the interface knows more of the three fields: files, network, scope.
    fields = (_LANDLOCK_MAKE_BLOCK_DEVICE, 0, scoped)[: 1 if version < 4 else 2 if version < 6 else 3]
    attributes = (ctypes.c_uint64 * len(fields))(*fields)
    ruleset = syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(ctypes.sizeof(attributes)), 0)
    if ruleset < 0:
        return False
    entered: bool = syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return entered and len(fields) == 3


def _filter_system_calls() -> bool:
    """Install the seccomp filter; False where the kernel has none or the machine is not in the tables above."""
    if platform.machine() not in MACHINES or struct.calcsize("P") != 8:
        return False
    instructions = [struct.pack("HBBI", *each) for each in build_filter(platform.machine())]
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))  # struct sock_fprog
    buffer = ctypes.create_string_buffer(program)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(buffer), ctypes.c_ulong(0)) == 0)


def build_filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter as BPF instructions (code, jump if true, jump if false, constant)."""
    architecture, column = MACHINES[machine]
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_ABOVE, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        *(each for numbers in _DENIED.values() for each in _refuse(numbers[column], _EPERM)),
        # Its flags are in memory, where a filter cannot look; the C library falls back on clone.
        *_refuse(_CLONE3[column], _ENOSYS),
        *_check_argument(_CLONE[column], ((_JUMP_ANY_BIT, _NAMESPACE_FLAGS),), refuse=True),
        *_check_argument(_SOCKET[column], tuple((_JUMP_EQUAL, each) for each in _FAMILIES), refuse=False),
        *_check_argument(_KILL[column], ((_JUMP_EQUAL, 0xFFFF_FFFF),), refuse=True),  # every process of the user
        *_check_argument(_PRLIMIT[column], ((_JUMP_EQUAL, 0),), refuse=False),  # its own limits only
        (_RETURN, 0, 0, _ALLOW),
    ]


def _refuse(number: int, error: int) -> Iterator[tuple[int, int, int, int]]:
    yield _JUMP_EQUAL, 0, 1, number
    yield _RETURN, 0, 0, _ERRNO | error


def _check_argument(
    number: int, tests: tuple[tuple[int, int], ...], *, refuse: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Refuse a call, or all but these, by the low half of its first argument."""
    yield _JUMP_EQUAL, 0, len(tests) + 3, number
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    for position, (test, constant) in enumerate(tests):
        yield test, len(tests) - position, 0, constant
    answers = (_ALLOW, _ERRNO | _EPERM) if refuse else (_ERRNO | _EPERM, _ALLOW)
    for answer in answers:  # no test is met, one is met
        yield _RETURN, 0, 0, answer


def _read_status() -> dict[str, int]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    names = ("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs")
    return {name: int(fields.get(name, "0"), 16) for name in names}
