"""Ask an OpenAI-compatible endpoint for the assessment of one report.

The openai client repeats requests that fail because the endpoint is busy or not reached. Here an answer that cannot be
used is asked for again, with a complaint, and a response format that the endpoint does not support is replaced by a
less strict one.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_attn_grader.cli.assess.answer import Answer, MalformedAnswerError, read_answer
from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS, AnswerFormat, Request
from pytest_attn_grader.errors import AssessorUnavailableError, UsageError
from pytest_attn_grader.reports.escaping import for_terminal
from pytest_attn_grader.results.assessment import TokenUsage

if TYPE_CHECKING:
    import openai

KEY_VARIABLE, URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_MAX_SHOWN = 200
# An endpoint answers with these where it does not know the response format.
_FORMAT_STATUSES = frozenset({400, 422})
# The client has repeated a request with such an answer; another report may have more luck.
_BUSY_STATUSES = frozenset({408, 409, 429})
_PERMANENT_FOR_ALL_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 404})
CUT_OFF = (
    "it was cut off at the endpoint's limit of tokens (finish_reason: length); answer in fewer words, or give the "
    "endpoint a larger limit or context"
)


class RefusedError(Exception):
    """A failure that a repeated request cannot mend.

    Args:
        for_all: the key, the model or the address is wrong, so requests for other reports fail too.
    """

    def __init__(self, problem: str, *, for_all: bool) -> None:
        super().__init__(problem)
        self.for_all = for_all


@dataclass(frozen=True)
class RequestLimits:
    """Limits on the requests for one report.

    Attributes:
        tries: answers that are asked for; a request that fails is sent as many times.
        answer_seconds: how long the endpoint may be silent.
        total_seconds: time for all requests, including waits.
    """

    tries: int = 4
    answer_seconds: float = 600.0
    total_seconds: float = 1800.0

    def __post_init__(self) -> None:
        for option, value in (("tries", self.tries), ("timeout", self.answer_seconds), ("limit", self.total_seconds)):
            if not 0 < value < math.inf:
                raise UsageError(f"--{option}={value:g} is not a limit. Give a number above 0.")


@dataclass(frozen=True)
class AcceptedAnswer:
    """A usable answer: who gave it, in which format, and after how many requests."""

    answer: Answer
    model: str | None
    usage: TokenUsage | None
    answer_format: AnswerFormat
    tries: int


class Endpoint:
    """A client for the endpoint in OPENAI_BASE_URL."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        # The response format that worked last; the next report starts with it.
        self._answer_format: AnswerFormat = ANSWER_FORMATS[0]
        self._key = os.environ.get(KEY_VARIABLE, "")
        if not (self._key.strip() and self._key.isascii() and self._key.isprintable()):
            raise UsageError(
                f"{KEY_VARIABLE} is not set, or not printable ASCII. Set it to the key of the endpoint (any text if it "
                f"needs none), and {URL_VARIABLE} to its address. --dry-run works without both."
            )
        url = os.environ.get(URL_VARIABLE)
        if url is not None and not _is_address(url):
            raise UsageError(
                f"{URL_VARIABLE}={for_terminal(url)} is not an address. Write http://HOST:PORT/v1 or https://HOST/v1."
            )
        try:
            import openai
        except ImportError as error:
            raise UsageError(
                f"attn-grader assess needs the openai client ({error}). Install it with: "
                "pip install 'pytest-attn-grader[llm]'. --dry-run works without it."
            ) from error
        self._openai = openai

    async def __aenter__(self) -> Endpoint:
        self._client: openai.AsyncOpenAI = self._openai.AsyncOpenAI(
            api_key=self._key,
            max_retries=self._limits.tries - 1,
            timeout=self._limits.answer_seconds,
            # A redirect would send the source to another address.
            http_client=self._openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def request_answer(self, request: Request, model: str) -> AcceptedAnswer:
        """Request the assessment of one report.

        Raises:
            AssessorUnavailableError: no usable answer within the limits.
            RefusedError: a repeated request would fail too.
        """
        try:
            return await asyncio.wait_for(self._request(request, model), self._limits.total_seconds)
        except asyncio.TimeoutError as error:
            raise self._unavailable(f"there was none within {self._limits.total_seconds:g} s") from error

    async def _request(self, request: Request, model: str) -> AcceptedAnswer:
        formats = list(ANSWER_FORMATS[ANSWER_FORMATS.index(self._answer_format) :])
        complaint = ""
        tries = requests = 0
        while tries < self._limits.tries:
            payload = request.payload(model, formats[0], complaint)
            try:
                raw = await self._client.chat.completions.with_raw_response.create(**payload)
            except self._openai.APIStatusError as error:
                if error.status_code not in _FORMAT_STATUSES or len(formats) == 1:
                    raise self._describe_status(error) from error
                formats.pop(0)
                requests += 1
                continue
            except self._openai.APIConnectionError as error:
                cause = self._escape(str(error.__cause__ or error))
                raise self._unavailable(f"the endpoint in {URL_VARIABLE} cannot be reached ({cause})") from error
            tries, requests = tries + 1, requests + 1 + raw.retries_taken
            try:
                accepted = _read_completion(raw.http_response.content, request, formats[0], requests)
            except MalformedAnswerError as error:
                complaint = str(error)
            else:
                self._answer_format = formats[0]
                return accepted
        raise self._unavailable(f"the answer could not be used: {complaint}")

    def _describe_status(self, error: openai.APIStatusError) -> Exception:
        problem = f"status {error.status_code}: {self._escape(_message_of(error.response.content))}"
        if error.status_code in _BUSY_STATUSES | _FORMAT_STATUSES or error.status_code >= 500:
            return self._unavailable(problem)
        return RefusedError(problem, for_all=error.status_code in _PERMANENT_FOR_ALL_STATUSES)

    def _unavailable(self, problem: str) -> AssessorUnavailableError:
        return AssessorUnavailableError(
            f"no usable answer (--tries {self._limits.tries}): {problem}. Try again, with more --tries, a longer "
            "--timeout and --limit, or another model"
        )

    def _escape(self, words: str) -> str:
        """Shorten and escape text from the endpoint, and hide the key in it; a short one such as "none" is a word."""
        return for_terminal(words.replace(self._key, "…") if len(self._key) >= 8 else words, _MAX_SHOWN)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return url.isprintable() and parts.scheme in {"http", "https"} and bool(host) and parts.port != 0
    except ValueError:
        return False


def _read_completion(body: bytes, request: Request, answer_format: AnswerFormat, requests: int) -> AcceptedAnswer:
    """Read the first choice.

    Raises:
        MalformedAnswerError: there is none, or its text is not the answer that was asked for.
    """
    try:
        document = json.loads(body)
        choice, model, used = document["choices"][0], document.get("model"), document.get("usage") or {}
        text, reason = choice["message"]["content"], choice.get("finish_reason")
        usage = TokenUsage(**{part: used.get(f"{part}_tokens") for part in ("prompt", "completion", "total")})
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedAnswerError("it is not a chat completion") from error
    try:
        answer = read_answer(str(text or ""), request.evaluation)
    except MalformedAnswerError as error:
        if reason == "length":
            raise MalformedAnswerError(CUT_OFF) from error
        raise
    named = for_terminal(model, _MAX_SHOWN) if isinstance(model, str) and model else None
    return AcceptedAnswer(answer, named, usage if used else None, answer_format, requests)


def _message_of(body: bytes) -> str:
    """The message of an OpenAI-style error, or the body."""
    text = body.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return text
