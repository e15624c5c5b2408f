"""Run jobs on a Dask cluster, which also reaches Slurm and Kubernetes.

The workers must see the same files under the same paths, and have the same version of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

from pytest_attn_grader import __version__
from pytest_attn_grader.errors import UsageError

CONNECT_SECONDS = 20


@contextmanager
def dask_executor(address: str, *, shared: Path) -> Iterator[Executor]:
    """Provide an executor on the cluster with this scheduler address.

    A job whose worker dies is run by another one. Leaving the context cancels jobs that have not started.

    Args:
        shared: a folder that every worker must see.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "--scheduler needs Dask, which is not installed: pip install 'pytest-attn-grader[cluster]'"
        ) from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}: {error}). Give "
            "the address that `dask scheduler` prints or cluster.scheduler_address holds, such as tcp://host:8786."
        ) from error
    try:
        _check_workers(client.run(worker_environment, str(shared)), address, shared)
        # pure=False: two equal jobs are two tasks.
        executor: Executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()


def worker_environment(folder: str) -> tuple[str, bool]:
    """The version of the worker that calls this, and whether it sees the folder."""
    return __version__, Path(folder).is_dir()


def _check_workers(found: dict[str, tuple[str, bool]], address: str, shared: Path) -> None:
    # An adaptive cluster may have no worker yet.
    for worker, (version, sees) in found.items():
        if version != __version__:
            raise UsageError(
                f"--scheduler {address}: worker {worker} has version {version} of pytest-attn-grader, this machine has "
                f"{__version__}. Install the same version everywhere."
            )
        if not sees:
            raise UsageError(
                f"--scheduler {address}: worker {worker} does not see {shared}. Submissions and --out must be in a "
                "folder that all machines share under the same path."
            )
