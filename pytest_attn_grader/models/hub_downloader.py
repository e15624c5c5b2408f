"""The child process that talks to the hub: the only code here that uses the network. Started by `hub_download`.

It writes one JSON object to stdout: the folder of the snapshot, or why there is none and what to do.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from pytest_attn_grader.models.checkpoint import (
    CONFIG,
    TOKENIZER_SETS,
    WEIGHTS,
    WEIGHTS_INDEX,
    WEIGHTS_SHARDS,
    check_language_model,
    read_config,
)
from pytest_attn_grader.models.hub_download import EXIT_LATE, OFFLINE_REMEDY, DownloadRequest
from pytest_attn_grader.models.types import ModelSourceError

_REQUEST_SECONDS = 5.0
_WATCH_SECONDS = 0.2
_TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_HTTP_LIBRARIES = ("httpx", "httpx2")  # huggingface_hub 1 and 2; before that requests, whose errors are OSErrors


def main(arguments: str) -> None:
    """Carry out one request and write the result to stdout."""
    stdout, sys.stdout = sys.stdout, sys.stderr  # what a library prints does not belong to the result
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the parent ends this one
    try:
        result = {"folder": download(DownloadRequest(**json.loads(arguments)))}
    except ModelSourceError as problem:
        result = {"why": problem.why, "remedy": problem.remedy}
    json.dump(result, stdout)
    stdout.flush()


def download(request: DownloadRequest) -> str:
    """Download the configuration, tokenizer and weights of one revision into the cache, and return their folder."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    answered = threading.Event()
    threading.Thread(target=_watch, args=(request, answered), daemon=True).start()
    failed = f"the hub at {request.endpoint} cannot be reached"
    try:
        try:
            info = HfApi(endpoint=request.endpoint).model_info(
                request.repo, revision=request.revision, timeout=_REQUEST_SECONDS
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelSourceError(
                f"what answers at {request.endpoint} is not a model hub (perhaps the login page of this network)",
                OFFLINE_REMEDY,
            ) from error
        _check_names([file.rfilename for file in info.siblings or ()], request.repo)
        config = hf_hub_download(
            request.repo,
            CONFIG,
            revision=info.sha,
            cache_dir=request.cache_dir,
            endpoint=request.endpoint,
            etag_timeout=_REQUEST_SECONDS,
        )
        answered.set()
        check_language_model(read_config(Path(config), remedy="Choose another model."), f"{request.repo} on the hub")
        failed = f"the download from {request.endpoint} broke off"
        return snapshot_download(
            request.repo,
            revision=request.revision,
            cache_dir=request.cache_dir,
            endpoint=request.endpoint,
            etag_timeout=_REQUEST_SECONDS,
            allow_patterns=list(wanted_files()),
        )
    except _network_errors() as error:
        raise _explain(error, request, failed) from error


def _watch(request: DownloadRequest, answered: threading.Event) -> None:
    """End this process when the hub does not answer in time, or when the process that waits for it is gone."""
    if not answered.wait(request.answer_seconds):
        os._exit(EXIT_LATE)
    while os.getppid() == request.parent_pid:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def wanted_files() -> tuple[str, ...]:
    """Patterns of the files a model is loaded from: no pickle, no code, no weights for other frameworks."""
    tokenizer = [name for names in TOKENIZER_SETS for name in names]
    return (CONFIG, "generation_config.json", *tokenizer, *_TOKENIZER_EXTRAS, WEIGHTS, WEIGHTS_INDEX, WEIGHTS_SHARDS)


def _check_names(names: list[str], repo: str) -> None:
    other_model = "Choose a model that offers safetensors weights, such as distilgpt2."
    if CONFIG not in names:
        raise ModelSourceError(f"{repo} on the hub has no {CONFIG}: it is not a transformers model", other_model)
    if WEIGHTS not in names and WEIGHTS_INDEX not in names:
        pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        reason = f"only a pickle ({pickles[0]}), which can run any code when opened" if pickles else "no weights"
        raise ModelSourceError(f"{repo} on the hub has no {WEIGHTS} but {reason}", other_model)


def _network_errors() -> tuple[type[Exception], ...]:
    return (OSError, *(sys.modules[name].HTTPError for name in _HTTP_LIBRARIES if name in sys.modules))


def _explain(error: Exception, request: DownloadRequest, failed: str) -> ModelSourceError:
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = None if response is None else response.status_code
    if isinstance(error, errors.GatedRepoError):
        why, remedy = (
            f"{request.repo} may only be downloaded by those who have accepted its terms",
            "Log in with 'hf auth login'.",
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = f"the hub at {request.endpoint} has no model {request.repo} (or it is private)"
        remedy = "Check the spelling; a private model needs 'hf auth login'."
    elif isinstance(error, errors.RevisionNotFoundError):
        why, remedy = f"{request.repo} on the hub has no revision {request.revision!r}", "Check what follows the '@'."
    elif status is not None:
        why, remedy = (
            f"the hub at {request.endpoint} answered with status {status}",
            f"Try again later. {OFFLINE_REMEDY}",
        )
    elif isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        why = f"the cache {request.cache_dir} cannot be written: {error.strerror}"
        remedy = "Make room, or let HF_HOME point to a folder that can be written."
    elif "Consistency check" in str(error):
        why = f"the hub at {request.endpoint} sent an incomplete file: {_first_line(error)}"
        remedy = "Try again later; if it happens again the file on the hub is damaged."
    else:
        why, remedy = f"{failed}: {_first_line(_root(error))}", OFFLINE_REMEDY
    return ModelSourceError(why, remedy)


def _root(error: BaseException) -> BaseException:
    """The error that began it: the outer ones only repeat it in more words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
