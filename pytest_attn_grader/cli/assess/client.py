"""One request to an OpenAI-compatible endpoint: what came back as text, or what kind of failure it was.

The endpoint is a stranger too: answers are of bounded size however slowly they come, and its words are bounded and
made visible before they are shown. Retries are decided elsewhere (`asking.py`).
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
MOST_ANSWER_BYTES = 1 << 20
_MOST_SHOWN = 200
_SHORTEST_SECRET = 8
_HOST = re.compile(r"[\w.:%-]+")
_WAIT_AND_TRY_AGAIN = frozenset({408, 409, 425, 429})
_NOT_UNDERSTOOD = frozenset({400, 422})
_WRONG_FOR_ALL = frozenset({301, 302, 303, 307, 308, 401, 404})


class TransientError(Exception):
    """It may go better later: busy, slow, not reached.

    Args:
        wait_seconds: how long the endpoint asks to wait; None when it does not say.
    """

    def __init__(self, problem: str, wait_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


class UnsupportedFormatError(Exception):
    """The endpoint does not take this request; it may take one that asks for less."""


class PermanentError(Exception):
    """Asking again is no use.

    Args:
        for_all: the key, the model or the address is wrong, so no other report will fare better.
    """

    def __init__(self, problem: str, *, for_all: bool) -> None:
        super().__init__(problem)
        self.for_all = for_all


@dataclass(frozen=True)
class Completion:
    """What the endpoint answered, unread."""

    text: str
    model: str | None
    usage: TokenUsage | None


class Endpoint:
    """A client for the endpoint that the environment names.

    Attributes:
        answer_format: how it was last found to take a schema, so that not every report has to find out.

    Raises:
        UsageError: the client is not installed, or the environment does not say where and as whom to ask.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.answer_format: AnswerFormat = ANSWER_FORMATS[0]
        self._key = _checked_key(environment)
        self._url = _checked_url(environment)
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
            raise UsageError(_no_address(self._url or "")) from error
        self._openai = openai

    async def __aenter__(self) -> Endpoint:
        hooks = {"response": [_keep_within_bounds]}
        # Tries are counted once, in asking.py; the time limit of a request is set there too.
        self._client: openai.AsyncOpenAI = self._openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            timeout=None,
            # What is sent is for the address that was named, and for no other.
            http_client=self._openai.DefaultAsyncHttpxClient(event_hooks=hooks, follow_redirects=False),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, payload: dict[str, Any], seconds: float) -> Completion:
        """Send one request and wait for the whole answer.

        Raises:
            TransientError, UnsupportedFormatError, Refused: see there.
        """
        create = self._client.chat.completions.with_raw_response.create
        # A time limit on the whole: those of the client start anew with every byte that comes.
        try:
            raw = await asyncio.wait_for(create(**payload, extra_headers={"Accept-Encoding": "identity"}), seconds)
        except asyncio.TimeoutError as error:
            raise TransientError(f"no whole answer within {seconds:.3g} s") from error
        except self._openai.APIStatusError as error:
            raise self._by_status(error.status_code, error.response.headers, error.response.text) from error
        except _ResponseTooLarge as error:
            raise TransientError(str(error)) from error
        except self._openai.APIConnectionError as error:
            cause = error.__cause__
            raise TransientError(
                f"the endpoint in {URL_VARIABLE} cannot be reached ({self._shown(str(cause or error))})"
            ) from error
        return _read_completion(raw.http_response.content)

    def _by_status(self, status: int, headers: Mapping[str, str], body: str) -> Exception:
        said = f"status {status}: {self._shown(_message_of(body))}"
        if status in _WAIT_AND_TRY_AGAIN or status >= 500:
            return TransientError(said, _seconds_to_wait(headers))
        if status in _NOT_UNDERSTOOD:
            return UnsupportedFormatError(said)
        return PermanentError(said, for_all=status in _WRONG_FOR_ALL)

    def _shown(self, words: str) -> str:
        """Endpoints repeat what they were sent; a key is not shown, whatever they say."""
        is_secret = len(self._key) >= _SHORTEST_SECRET  # "none" and "x" are words as well
        return for_terminal(words.replace(self._key, "…") if is_secret else words, _MOST_SHOWN)


class _ResponseTooLarge(Exception):
    """What came is nothing that an answer needs to be."""


async def _keep_within_bounds(response: httpx2.Response) -> None:
    """Let no more of a body in than an answer needs, be it of an error, and nothing that has to be unpacked."""
    import httpx2

    if response.headers.get("content-encoding", "identity") != "identity":
        # It was asked not to: what unpacks to a thousand times its size could not be bounded here.
        raise _ResponseTooLarge("the endpoint compresses its answers although it was asked not to")
    # How an error's text is read would otherwise be for the endpoint to choose.
    response.headers["content-type"] = "application/json; charset=utf-8"
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    whole: httpx2.AsyncByteStream = stream

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            taken = 0
            async for piece in whole:
                taken += len(piece)
                if taken > MOST_ANSWER_BYTES:
                    raise _ResponseTooLarge(f"the answer is longer than {MOST_ANSWER_BYTES} bytes")
                yield piece

        async def aclose(self) -> None:
            await whole.aclose()

    response.stream = Bounded()


def _read_completion(body: bytes) -> Completion:
    """The first choice's text; anything else than a completion has none, and is for the reader of answers to refuse."""
    try:
        document = json.loads(body)
        message = document["choices"][0]["message"]
        text = message["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return Completion("", None, None)
    name, used = document.get("model"), document.get("usage")
    usage = None
    if isinstance(used, dict):
        counts = [_count(used.get(f"{part}_tokens")) for part in ("prompt", "completion", "total")]
        usage = TokenUsage(prompt=counts[0], completion=counts[1], total=counts[2])
    return Completion(
        text if isinstance(text, str) else "",
        for_terminal(name, _MOST_SHOWN) if isinstance(name, str) and name else None,
        usage,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _message_of(body: str) -> str:
    """The words of an error as endpoints usually wrap them, or the body."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body
    return message if isinstance(message, str) else body


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is left to our own waiting."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _checked_key(environment: Mapping[str, str]) -> str:
    key = environment.get(KEY_VARIABLE, "")
    if not key.strip():
        raise UsageError(
            f"{KEY_VARIABLE} is not set. Set it to the key of the endpoint (to anything where it asks for none), and "
            f"{URL_VARIABLE} to its address. --dry-run works without both."
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{KEY_VARIABLE} holds a character that no key has (a line break?). Set it again.")
    return key


def _checked_url(environment: Mapping[str, str]) -> str | None:
    """None: the client's own default."""
    url = environment.get(URL_VARIABLE)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(host)) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(_no_address(url))
    return url


def _no_address(url: str) -> str:
    return f"{URL_VARIABLE}={for_terminal(url)} is no address. Write http://HOST:PORT/v1 or https://HOST/v1."
