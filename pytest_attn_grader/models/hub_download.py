"""Have a snapshot downloaded, by a process of its own that can be ended at any moment.

A process, because a name lookup or a stuck transfer cannot be interrupted from inside, because huggingface_hub reads
its time limits once, when it is imported, and because what it prints and logs is then ours to show or to hide.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pytest_attn_grader.models.types import ModelSourceError

_START_SECONDS = 60.0  # importing huggingface_hub from a slow disk
_STALL_SECONDS = "5"  # without a single byte; huggingface_hub resumes five times before it gives up

# Isolated (-I): neither the current folder nor the environment decides what is imported, our own search path does.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_attn_grader.models.hub_downloader import main; main(sys.argv[2])"
)
OFFLINE_REMEDY = "Check the network, or work offline with --attn-model=mini."


@dataclass(frozen=True)
class DownloadRequest:
    """What is to be downloaded, from where to where."""

    repo: str
    revision: str
    endpoint: str
    cache_dir: str


def fetch_snapshot(
    repo: str, revision: str, *, endpoint: str, cache_dir: Path, answer_seconds: float, progress: bool
) -> Path:
    """Download what is needed of a model into huggingface_hub's cache and return the folder of its snapshot.

    Only the configuration, the tokenizer and safetensors files are fetched. There is no limit on how long a download
    takes, but one on how long it may stand still.

    Args:
        repo: hub id.
        revision: branch, tag or commit.
        endpoint: address of the hub.
        cache_dir: huggingface_hub's cache.
        answer_seconds: how long the hub may take to say what the model consists of and to hand out its configuration.
        progress: show progress bars on stderr.

    Raises:
        ModelSourceError: unreachable, slow, unknown, damaged, or the cache cannot be written.
    """
    order = DownloadRequest(repo, revision, endpoint, str(cache_dir))
    with _downloader(order, progress=progress) as child:
        child.wait_for("started", _START_SECONDS, f"the download did not start within {_START_SECONDS:g} seconds")
        late = f"the hub at {endpoint} does not answer within {answer_seconds:g} s"
        child.wait_for("answered", answer_seconds, late)
        return Path(child.wait_for("done", None, "")["folder"])


class _Downloader:
    """The running child: one JSON object a line on its stdout."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str] | None) -> None:
        self._process = process
        self._errors = errors
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, event: str, seconds: float | None, late: str) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise ModelSourceError(late, OFFLINE_REMEDY) from None
        if not line:
            raise ModelSourceError(
                f"the download broke off: {self._last_words()}", "Run again; it resumes where it can."
            )
        said: dict[str, Any] = json.loads(line)
        if said["event"] == "failed":
            raise ModelSourceError(said["why"], said["remedy"])
        assert said["event"] == event, said
        return said

    def close(self) -> None:
        """End the child, whatever it is doing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()

    def _last_words(self) -> str:
        status = self._process.wait()
        if self._errors is None:
            return f"exit status {status}"
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {status}"


@contextmanager
def _downloader(order: DownloadRequest, *, progress: bool) -> Iterator[_Downloader]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, json.dumps(sys.path), json.dumps(asdict(order))],
            stdin=subprocess.PIPE,  # its end tells the child that we are gone
            stdout=subprocess.PIPE,
            stderr=None if progress else errors,
            text=True,
            encoding="utf-8",
            env=_environment(order, progress=progress),
        )
        downloader = _Downloader(process, None if progress else errors)
        try:
            yield downloader
        finally:
            downloader.close()


def _environment(order: DownloadRequest, *, progress: bool) -> dict[str, str]:
    return {
        "HF_HUB_DOWNLOAD_TIMEOUT": _STALL_SECONDS,  # before os.environ: who has set it shall have it
        **os.environ,
        "HF_ENDPOINT": order.endpoint,
        "HF_HUB_CACHE": order.cache_dir,
        "HF_HUB_DISABLE_PROGRESS_BARS": "0" if progress else "1",
        "HF_HUB_VERBOSITY": "error",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
        # Xet storage has time limits of its own, of minutes; plain HTTP obeys ours and is resumed.
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ENABLE_HF_TRANSFER": "0",
    }
