"""The process that talks to the hub: the only code here that uses the network. Started by ``fetch``, see there why.

It is given one JSON object and answers in JSON lines: ``started`` (imports done), ``answered`` (the hub has told what
the model consists of and handed out its configuration), ``done`` with the folder, or ``failed`` with the reason.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

from pytest_attn_grader.models.checkpoint import CONFIG, TOKENIZER_SETS, WEIGHTS, WEIGHTS_INDEX, WEIGHTS_SHARDS
from pytest_attn_grader.models.hub_download import OFFLINE_REMEDY, DownloadRequest
from pytest_attn_grader.models.types import ModelSourceError

_REQUEST_SECONDS = 5.0
_MAX_RESUMES = 5
_TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_HTTP_LIBRARIES = ("httpx", "httpx2")  # huggingface_hub 1 and 2; before that requests, whose errors are OSErrors


def main(order: str) -> None:
    """Carry out one order and say on stdout how it went."""
    # Whatever a library prints must not get between our lines.
    answers, sys.stdout = sys.stdout, sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both of us; the parent says what it means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        download(DownloadRequest(**json.loads(order)), answers)
    except ModelSourceError as problem:
        _emit(answers, "failed", why=problem.why, remedy=problem.remedy)


def download(order: DownloadRequest, answers: TextIO) -> None:
    """Download the configuration, tokenizer and weights of one revision into the cache.

    Raises:
        ModelSourceError: the hub cannot be reached, does not have it, or the cache cannot be written.
    """
    from huggingface_hub import HfApi, hf_hub_download

    _emit(answers, "started")
    failed = f"the hub at {order.endpoint} cannot be reached"
    try:
        try:
            info = HfApi(endpoint=order.endpoint).model_info(
                order.repo, revision=order.revision, timeout=_REQUEST_SECONDS
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelSourceError(
                f"what answers at {order.endpoint} is not a model hub (perhaps the login page of this network)",
                OFFLINE_REMEDY,
            ) from error
        _check_names([file.rfilename for file in info.siblings or ()], order.repo)
        hf_hub_download(
            order.repo,
            CONFIG,
            revision=info.sha,
            cache_dir=order.cache_dir,
            endpoint=order.endpoint,
            etag_timeout=_REQUEST_SECONDS,
        )
        _emit(answers, "answered")
        failed = f"the download from {order.endpoint} broke off"
        _emit(answers, "done", folder=_download_snapshot(order))
    except _network_errors() as error:
        raise _explain(error, order, failed) from error


def _download_snapshot(order: DownloadRequest, *, cuts_left: int = _MAX_RESUMES) -> str:
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(
            order.repo,
            revision=order.revision,
            cache_dir=order.cache_dir,
            endpoint=order.endpoint,
            etag_timeout=_REQUEST_SECONDS,
            allow_patterns=list(wanted_files()),
        )
    except _network_errors() as error:
        # huggingface_hub resumes by itself after every fault, but before 1.0 not after this one; a new call does.
        requests = sys.modules.get("requests")
        if not cuts_left or requests is None or not isinstance(error, requests.exceptions.ChunkedEncodingError):
            raise
    return _download_snapshot(order, cuts_left=cuts_left - 1)


def _end_with_parent() -> None:
    """Nobody waits for a download any more once the other end of stdin is closed."""
    while os.read(0, 1):  # not sys.stdin, whose lock a waiting thread would hold when Python shuts down
        pass
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


def _explain(error: Exception, order: DownloadRequest, failed: str) -> ModelSourceError:
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = None if response is None else response.status_code
    if isinstance(error, errors.GatedRepoError):
        why, remedy = (
            f"{order.repo} may only be downloaded by those who have accepted its terms",
            "Log in with 'hf auth login'.",
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = f"the hub at {order.endpoint} has no model {order.repo} (or it is private)"
        remedy = "Check the spelling; a private model needs 'hf auth login'."
    elif isinstance(error, errors.RevisionNotFoundError):
        why, remedy = f"{order.repo} on the hub has no revision {order.revision!r}", "Check what follows the '@'."
    elif status is not None:
        why, remedy = f"the hub at {order.endpoint} answered with status {status}", f"Try again later. {OFFLINE_REMEDY}"
    elif isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        why = f"the cache {order.cache_dir} cannot be written: {error.strerror}"
        remedy = "Make room, or let HF_HOME point to a folder that can be written."
    elif "Consistency check" in str(error):
        why = f"the hub at {order.endpoint} sent an incomplete file: {_first_line(error)}"
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


def _emit(answers: TextIO, event: str, **details: Any) -> None:
    print(json.dumps({"event": event, **details}), file=answers, flush=True)
