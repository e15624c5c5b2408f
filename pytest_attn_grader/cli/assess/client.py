"""Send one request to an OpenAI-compatible endpoint; return the text or raise the kind of failure.

The endpoint is not trusted: the size of an answer is bounded, and its text is shortened and escaped before it is
shown. `retries.py` decides about retries.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS, AnswerFormat
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.escaping import for_terminal
from pytest_attn_grader.results.assessment import TokenUsage

if TYPE_CHECKING:
    import httpx2
    import openai

KEY_VARIABLE, URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
MAX_ANSWER_BYTES = 1 << 20
_MAX_SHOWN = 200
_MIN_SECRET_LENGTH = 8
_HOST = re.compile(r"[\w.:%-]+")
_RETRY_STATUSES = frozenset({408, 409, 425, 429})
_FORMAT_STATUSES = frozenset({400, 422})
_PERMANENT_FOR_ALL_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 404})


class TransientError(Exception):
    """A failure that may pass: the endpoint is busy, slow or not reached.

    Args:
        wait_seconds: the endpoint's Retry-After; None without one.
    """

    def __init__(self, problem: str, wait_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


class UnsupportedFormatError(Exception):
    """The endpoint rejects this response format; it may accept a less strict one."""


class PermanentError(Exception):
    """A failure that a repeated request cannot mend.

    Args:
        for_all: the key, the model or the address is wrong, so requests for other reports fail too.
    """

    def __init__(self, problem: str, *, for_all: bool) -> None:
        super().__init__(problem)
        self.for_all = for_all


@dataclass(frozen=True)
class Completion:
    """The endpoint's answer, not yet parsed.

    Attributes:
        is_cut: whether the endpoint stopped at its limit of tokens.
    """

    text: str
    model: str | None
    usage: TokenUsage | None
    is_cut: bool = False


class Endpoint:
    """A client for the endpoint in OPENAI_BASE_URL.

    Attributes:
        answer_format: the response format that worked last; the next report starts with it.

    Raises:
        UsageError: the client is not installed, or an environment variable is missing or malformed.
    """

    def __init__(self) -> None:
        self.answer_format: AnswerFormat = ANSWER_FORMATS[0]
        self._key = _read_key()
        self._url = _read_url()
        try:
            import httpx2
            import openai
        except ImportError as error:
            raise UsageError(
                f"attn-grader assess needs the openai client ({error}). Install it with: "
                "pip install 'pytest-attn-grader[llm]'. --dry-run works without it."
            ) from error
        try:
            httpx2.URL(self._url or "")
        except httpx2.InvalidURL as error:
            raise UsageError(_malformed_address(self._url or "")) from error
        self._openai = openai

    async def __aenter__(self) -> Endpoint:
        hooks = {"response": [_limit_response_size]}
        # retries.py counts the tries and sets the time limit of each request.
        self._client: openai.AsyncOpenAI = self._openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            timeout=None,
            # A redirect would send the source to another address.
            http_client=self._openai.DefaultAsyncHttpxClient(event_hooks=hooks, follow_redirects=False),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, payload: dict[str, Any], seconds: float) -> Completion:
        """Send one request and wait for the whole answer.

        Raises:
            TransientError, UnsupportedFormatError, PermanentError: see there.
        """
        create = self._client.chat.completions.with_raw_response.create
        # A limit on the whole answer: the client's own read timeout restarts with every byte.
        try:
            raw = await asyncio.wait_for(create(**payload, extra_headers={"Accept-Encoding": "identity"}), seconds)
        except asyncio.TimeoutError as error:
            raise TransientError(f"no whole answer within {seconds:.3g} s") from error
        except self._openai.APIStatusError as error:
            raise self._error_for_status(error.status_code, error.response.headers, error.response.text) from error
        except _ResponseTooLarge as error:
            raise TransientError(str(error)) from error
        except self._openai.APIConnectionError as error:
            cause = error.__cause__
            raise TransientError(
                f"the endpoint in {URL_VARIABLE} cannot be reached ({self._escape(str(cause or error))})"
            ) from error
        return _read_completion(raw.http_response.content)

    def _error_for_status(self, status: int, headers: Mapping[str, str], body: str) -> Exception:
        problem = f"status {status}: {self._escape(_message_of(body))}"
        if status in _RETRY_STATUSES or status >= 500:
            return TransientError(problem, _seconds_to_wait(headers))
        if status in _FORMAT_STATUSES:
            return UnsupportedFormatError(problem)
        return PermanentError(problem, for_all=status in _PERMANENT_FOR_ALL_STATUSES)

    def _escape(self, words: str) -> str:
        """Shorten and escape text from the endpoint, and hide the key in it."""
        is_secret = len(self._key) >= _MIN_SECRET_LENGTH  # a short key such as "none" is also a word
        return for_terminal(words.replace(self._key, "…") if is_secret else words, _MAX_SHOWN)


class _ResponseTooLarge(Exception):
    """The response is larger than MAX_ANSWER_BYTES, or compressed."""


async def _limit_response_size(response: httpx2.Response) -> None:
    """Stop reading a body, also of an error, at MAX_ANSWER_BYTES; refuse a compressed one."""
    import httpx2

    if response.headers.get("content-encoding", "identity") != "identity":
        # The request asks for identity; a compressed body could unpack to a thousand times its size.
        raise _ResponseTooLarge("the endpoint compresses its answers although it was asked not to")
    # Otherwise the endpoint chooses how the text of an error is decoded.
    response.headers["content-type"] = "application/json; charset=utf-8"
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    whole: httpx2.AsyncByteStream = stream

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            taken = 0
            async for piece in whole:
                taken += len(piece)
                if taken > MAX_ANSWER_BYTES:
                    raise _ResponseTooLarge(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
                yield piece

        async def aclose(self) -> None:
            await whole.aclose()

    response.stream = Bounded()


def _read_completion(body: bytes) -> Completion:
    """The text of the first choice; empty when the body is not a completion."""
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return Completion("", None, None)
    name, used = document.get("model"), document.get("usage")
    usage = None
    if isinstance(used, dict):
        counts = [_count(used.get(f"{part}_tokens")) for part in ("prompt", "completion", "total")]
        usage = TokenUsage(prompt=counts[0], completion=counts[1], total=counts[2])
    return Completion(
        text if isinstance(text, str) else "",
        for_terminal(name, _MAX_SHOWN) if isinstance(name, str) and name else None,
        usage,
        choice.get("finish_reason") == "length",
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _message_of(body: str) -> str:
    """The message of an OpenAI-style error, or the body."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body
    return message if isinstance(message, str) else body


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds; None for its other form, a date."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _read_key() -> str:
    key = os.environ.get(KEY_VARIABLE, "")
    if not key.strip():
        raise UsageError(
            f"{KEY_VARIABLE} is not set. Set it to the key of the endpoint (any text if it needs none), and "
            f"{URL_VARIABLE} to its address. --dry-run works without both."
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"{KEY_VARIABLE} contains a character that is not printable ASCII (a line break?). Set it again."
        )
    return key


def _read_url() -> str | None:
    """None: the client's own default."""
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(host)) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(_malformed_address(url))
    return url


def _malformed_address(url: str) -> str:
    return f"{URL_VARIABLE}={for_terminal(url)} is not an address. Write http://HOST:PORT/v1 or https://HOST/v1."
