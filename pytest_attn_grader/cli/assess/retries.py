"""Repeat a request until the answer is usable, within a number of tries, a time per answer and a total time.

The openai client's own retries are off: here transport failures, malformed answers (repeated with a complaint) and
formats that the endpoint does not support count against the same limits.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass

from pytest_attn_grader.cli.assess.answer import Answer, MalformedAnswerError, read_answer
from pytest_attn_grader.cli.assess.client import Completion, Endpoint, TransientError, UnsupportedFormatError
from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS, AnswerFormat, Request
from pytest_attn_grader.errors import AssessorUnavailableError, UsageError

MAX_WAIT_SECONDS = 30.0
CUT_OFF = (
    "it was cut off at the endpoint's limit of tokens (finish_reason: length); answer in fewer words, or give the "
    "endpoint a larger limit or context"
)


@dataclass(frozen=True)
class RequestLimits:
    """RequestLimits on the requests for one report.

    Attributes:
        tries: number of requests; up to two more find out which response format the endpoint supports.
        answer_seconds: time for one answer.
        total_seconds: time for all requests, including waits.
        first_wait_seconds: wait before the second try, doubled before each further one; a random half is left out.

    Raises:
        UsageError: a limit is not a positive number.
    """

    tries: int = 4
    answer_seconds: float = 600.0
    total_seconds: float = 1800.0
    first_wait_seconds: float = 0.5

    def __post_init__(self) -> None:
        for option, value in (("tries", self.tries), ("timeout", self.answer_seconds), ("limit", self.total_seconds)):
            if not 0 < value < math.inf:
                raise UsageError(f"--{option}={value:g} is not a limit. Give a number above 0.")


@dataclass(frozen=True)
class AcceptedAnswer:
    """A usable answer, and the format and number of requests that produced it."""

    answer: Answer
    completion: Completion
    answer_format: AnswerFormat
    tries: int


async def request_with_retries(
    endpoint: Endpoint, request: Request, model: str, limits: RequestLimits
) -> AcceptedAnswer:
    """Request the assessment of one report.

    Raises:
        AssessorUnavailableError: no usable answer within the limits; the message gives the last failure.
        PermanentError: a repeated request would fail too.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + limits.total_seconds
    formats = list(ANSWER_FORMATS[ANSWER_FORMATS.index(endpoint.answer_format) :])
    problem = complaint = ""
    tries = requests = 0
    while tries < limits.tries and (left := end - clock()) > 0:
        tries, requests, wait_seconds = tries + 1, requests + 1, 0.0
        payload = request.payload(model, formats[0], complaint)
        try:
            completion = await endpoint.complete(payload, min(limits.answer_seconds, left))
            accepted = AcceptedAnswer(_parse(completion, request), completion, formats[0], requests)
            endpoint.answer_format = formats[0]
            return accepted
        except MalformedAnswerError as error:
            complaint = str(error)
            problem = f"the answer could not be used: {complaint}"
        except UnsupportedFormatError as error:
            problem = str(error)
            if len(formats) == 1:
                break
            # The endpoint may not support this response format: try a less strict one.
            formats.pop(0)
            tries -= 1
        except TransientError as error:
            problem = str(error)
            wait_seconds = _wait_seconds(tries, error.wait_seconds, limits)
        if tries < limits.tries and wait_seconds:
            if wait_seconds >= end - clock():
                problem += f"; the next try would be in {wait_seconds:.3g} s, past the limit"
                break
            await asyncio.sleep(wait_seconds)
    times = "1 try" if requests == 1 else f"{requests} tries"
    raise AssessorUnavailableError(
        f"no usable answer after {times} ({limits.total_seconds:g} s at most): {problem}. Try again, with more "
        "--tries, a longer --timeout and --limit, or another model"
    )


def _parse(completion: Completion, request: Request) -> Answer:
    """Read the answer; when it was cut off, this is the reason that is given."""
    try:
        return read_answer(completion.text, request.evaluation)
    except MalformedAnswerError as error:
        if completion.is_cut:
            raise MalformedAnswerError(CUT_OFF) from error
        raise


def _wait_seconds(tries: int, requested_seconds: float | None, limits: RequestLimits) -> float:
    if requested_seconds is not None:
        return requested_seconds
    longest = min(MAX_WAIT_SECONDS, limits.first_wait_seconds * 2.0 ** (tries - 1))
    # Random, so that parallel requests rejected together are not repeated together.
    return longest * random.uniform(0.5, 1.0)
