"""A fork server for grading runs: imports everything, loads the model, and forks for every submission.

    python -m pytest_attn_grader.cli.grade.fork_server MODEL DEVICE

A run then costs no interpreter start, no imports and no loading of a model. The server reads one job a line from
stdin and prints two lines for it: the process id, then the exit code. It computes nothing in parallel before a fork,
because OpenMP's threads do not survive one. A job that is repeated, as a watched file is, is forked before it comes:
that process has read its options, collected the checks and started a worker, and has read nothing of the submission.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_attn_grader._utils.imports import HEAVY_MODULES
from pytest_attn_grader.cli.grade.warmup import run_warmup
from pytest_attn_grader.errors import SandboxUnavailableError
from pytest_attn_grader.sandbox import bubblewrap, fork_server
from pytest_attn_grader.sandbox.fork_server import ForkServer, ForkServerUnavailableError
from pytest_attn_grader.sandbox.grader_process import protect_grader
from pytest_attn_grader.sandbox.launch import start_fork_server
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker.supervisor import die_with_parent
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE

PRELOADED = (
    "numpy",
    "scipy.optimize",
    "scipy.stats",
    "pydantic",
    "jinja2",
    *HEAVY_MODULES,
    "transformers.models.gpt2.modeling_gpt2",
    "pytest_attn_grader.grading.session",
    "pytest_attn_grader.grading.diagnosis",
    "pytest_attn_grader.grading.assemble",
)
# These contain pytest plugins. Pytest would warn that they are imported before it can rewrite their assertions.
PLUGIN_PACKAGES = ("anyio", "pytest_attn_grader")
EXIT_CRASHED = 70


def main() -> None:
    """Serve jobs until stdin ends."""
    _die_with_parent()
    protect_grader()  # and every run that is forked from here
    answers = os.fdopen(os.dup(1), "w")
    prepare(sys.argv[1], sys.argv[2])
    print("ready", file=answers, flush=True)
    warmed_up: list[list[str]] = []
    waiting: WaitingRun | None = None
    for line in sys.stdin:
        job = json.loads(line)
        if job["warmup_args"] and job["warmup_args"] not in warmed_up:
            warmed_up.append(job["warmup_args"])
            run_warmup(job["warmup_args"])
            _freeze_gc()
        if waiting is not None and waiting.job != job:
            waiting.discard()
            waiting = None
        waiting = waiting or fork_run(job)
        waiting.start()
        print(waiting.pid, file=answers, flush=True)
        announced = waiting.read_exit_code()
        if announced is not None:
            print(announced, file=answers, flush=True)
        _, status = os.waitpid(waiting.pid, 0)
        if announced is None:
            print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
        waiting = fork_run(job) if job["is_repeated"] else None


@dataclass(frozen=True)
class WaitingRun:
    """A process that has been forked for a job and waits to be started.

    Attributes:
        gate: the end of a pipe that starts it.
        result: the end of a pipe on which it says its exit code when it has done everything.
    """

    job: dict[str, Any]
    pid: int
    gate: int
    result: int

    def start(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its exit code says why
            os.write(self.gate, b"\n")
        os.close(self.gate)

    def read_exit_code(self) -> int | None:
        """Wait for what it says before it ends; None where it ends without. Freeing its memory takes 20 ms more."""
        said = b""
        with contextlib.suppress(OSError):  # an older kernel has no descriptors of processes
            process = os.pidfd_open(self.pid)
            ready, _, _ = select.select([self.result, process], [], [])
            os.close(process)
            said = os.read(self.result, 16) if self.result in ready else b""
        os.close(self.result)
        return int(said) if said else None

    def discard(self) -> None:
        """End it; it has done nothing yet."""
        os.close(self.gate)
        os.close(self.result)
        os.waitpid(self.pid, 0)


def fork_run(job: dict[str, Any]) -> WaitingRun:
    """Fork a process that runs a job once it is started, and ends when it will never be."""
    its_gate, gate = os.pipe()
    result, its_result = os.pipe()
    # Ctrl-C waits until the fork is done: in the middle of it, Python's own hooks would print it and go on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        os.close(result)
        run(job, its_gate, its_result)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.close(its_gate)
    os.close(its_result)
    return WaitingRun(job, pid, gate, result)


def prepare(model: str | None, device: str) -> None:
    """Import the modules and load the model that every run needs.

    Args:
        model: None for runs that load their own.
    """
    # First, because it imports torch in parallel.
    sandbox = _start_sandbox_fork_server()
    for name in PRELOADED:
        importlib.import_module(name)
    for name in PLUGIN_PACKAGES:
        if name in sys.modules:
            sys.modules[name].__doc__ = f"{sys.modules[name].__doc__}\nPYTEST_DONT_REWRITE"
    from pytest_attn_grader.errors import UngradableError
    from pytest_attn_grader.models.load import preload_model

    try:
        if model is not None:
            preload_model(model, device=device, progress=True)
    except UngradableError as error:
        # Every run reports it too.
        print(error, file=sys.stderr)
    if sandbox is not None:
        _verify_fork_server(sandbox)
    _freeze_gc()


def _freeze_gc() -> None:
    """Exclude the present objects from garbage collection, which would copy their pages in a child."""
    gc.collect()
    gc.freeze()


def _die_with_parent() -> None:
    """Die when the parent dies: if the grader or a Dask worker is killed, its runs end too."""
    if sys.platform.startswith("linux"):
        parent = os.getppid()
        die_with_parent()
        if os.getppid() != parent:
            os._exit(EXIT_CRASHED)


def _start_sandbox_fork_server() -> ForkServer | None:
    here = {"", os.getcwd()}  # the working directory is not importable, as in a run
    try:
        return start_fork_server([path for path in sys.path if path not in here], service=SERVICE)
    except ForkServerUnavailableError:
        return None


def _verify_fork_server(sandbox: ForkServer) -> None:
    """Fork a test worker in every tier, and use the sandbox's fork server only for tiers whose worker answers."""
    fork_server.set_fork_server(sandbox)
    sandbox.forks_into_namespaces = Path(fork_server.NAMESPACE_HOLDER).exists() and not bubblewrap.unavailable_reason()
    with tempfile.TemporaryDirectory() as empty:
        for in_namespaces in {False, sandbox.forks_into_namespaces}:
            worker = WorkerProcess(
                root=Path(empty),
                import_paths=sys.path,
                limits=Limits(),
                service=SERVICE,
                in_namespaces=in_namespaces,
            )
            try:
                with worker:
                    worker.wait_until_ready()
            except SandboxUnavailableError:
                if in_namespaces:
                    sandbox.forks_into_namespaces = False
                else:
                    fork_server.set_fork_server(None)
                    sandbox.close()
                    return


def run(job: dict[str, Any], gate: int, result: int) -> None:
    """Run `python -m pytest ARGS` in a new session, once the gate opens; until then the log is that of the run before.

    Args:
        gate: the end of a pipe. A byte starts the run, its end ends this process.
        result: the end of a pipe for the exit code.
    """
    code = EXIT_CRASHED
    try:
        _die_with_parent()
        os.setsid()
        _redirect(f"{job['log']}.next")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.chdir(job["folder"])
        sys.argv = ["pytest", *job["args"]]
        import pytest

        class Gate:
            @pytest.hookimpl(wrapper=True, tryfirst=True)
            def pytest_runtestloop(self) -> Generator[None, object, object]:
                if not os.read(gate, 1):
                    os._exit(EXIT_CRASHED)
                os.close(gate)
                _publish_log(job["log"])
                return (yield)

        code = int(pytest.main(job["args"], plugins=[Gate()]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _publish_log(job["log"])
        with contextlib.suppress(OSError):  # the server has ended
            os.write(result, str(code).encode())
        os._exit(code)


def _publish_log(log: str) -> None:
    """Put the output of this run in the place of the run's before; done once."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(f"{log}.next", log)


def _redirect(log: str) -> None:
    """Redirect stdin from the null device, and stdout and stderr to the log."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        descriptor = os.open(path, flags, 0o666)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.dup2(1, 2)
    # The buffer of sys.stdin belongs to the parent, which reads jobs from it.
    sys.stdin = os.fdopen(0, closefd=False)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # a terminal's Ctrl-C reaches this process as well as the command that started it
        from pytest_attn_grader.cli.error_exit import EXIT_INTERRUPTED

        sys.exit(EXIT_INTERRUPTED)
