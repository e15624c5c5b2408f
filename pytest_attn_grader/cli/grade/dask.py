"""A Dask cluster as the place where jobs are run: campus Slurm and Kubernetes are reached through it.

The workers of the cluster see the same files under the same paths, and have the same version of this package.
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
def connected(address: str, *, shared: Path) -> Iterator[Executor]:
    """An executor that runs jobs on the cluster whose scheduler has this address.

    A job whose worker dies is given to another one. Leaving cancels what has not begun.

    Args:
        shared: a folder that every worker must see.

    Raises:
        UsageError: Dask is not installed, no scheduler answers, or a worker is of no use.
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
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}: {error}). It looks like "
            "tcp://host:8786, and is what `dask scheduler` prints or cluster.scheduler_address says."
        ) from error
    try:
        _check_workers(client.run(worker_environment, str(shared)), address, shared)
        # Each job is a task of its own, also when it asks for the same as another.
        executor: Executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()


def worker_environment(folder: str) -> tuple[str, bool]:
    """Run by every worker: the version that it has, and whether it sees the folder."""
    return __version__, Path(folder).is_dir()


def _check_workers(found: dict[str, tuple[str, bool]], address: str, shared: Path) -> None:
    # A cluster that grows when it is asked for something may have none yet.
    for worker, (version, sees) in found.items():
        if version != __version__:
            raise UsageError(
                f"--scheduler {address}: worker {worker} has version {version} of pytest-attn-grader, and here is "
                f"{__version__}. Install the same everywhere."
            )
        if not sees:
            raise UsageError(
                f"--scheduler {address}: worker {worker} does not see {shared}. Submissions and --out must be in a "
                "folder that all machines share under the same path."
            )
