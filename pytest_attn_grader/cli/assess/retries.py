"""Ask until there is an answer that can be used, within limits: so many tries, so long for each, so long for all."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass

from pytest_attn_grader.cli.assess.answer import Answer, MalformedAnswerError, read_answer
from pytest_attn_grader.cli.assess.client import Completion, Endpoint, TransientError, UnsupportedFormatError
from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS, AnswerFormat, Request
from pytest_attn_grader.errors import AssessorUnavailableError, UsageError

LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """What one report may cost.

    Attributes:
        tries: requests; the two that find out how an endpoint takes a schema come on top.
        answer_seconds: for one answer.
        total_seconds: for all of it, waiting included.
        first_wait_seconds: before the second try; doubled before each further one. Half to all of it is waited.

    Raises:
        UsageError: a limit is no positive number.
    """

    tries: int = 4
    answer_seconds: float = 120.0
    total_seconds: float = 600.0
    first_wait_seconds: float = 0.5

    def __post_init__(self) -> None:
        for option, value in (("tries", self.tries), ("timeout", self.answer_seconds), ("limit", self.total_seconds)):
            if not 0 < value < math.inf:
                raise UsageError(f"--{option}={value:g} is no limit. Give a number above 0.")


@dataclass(frozen=True)
class AcceptedAnswer:
    """An answer that can be used, and what it took."""

    answer: Answer
    completion: Completion
    answer_format: AnswerFormat
    tries: int


async def ask(endpoint: Endpoint, request: Request, model: str, limits: Limits) -> AcceptedAnswer:
    """Ask one report's question.

    Raises:
        AssessorUnavailableError: no usable answer within the limits; the message says what came last.
        Refused: asking again is no use.
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
            answer = read_answer(completion.text, request.evaluation)
            endpoint.answer_format = formats[0]
            return AcceptedAnswer(answer, completion, formats[0], requests)
        except MalformedAnswerError as error:
            complaint = str(error)
            problem = f"the answer could not be used: {complaint}"
        except UnsupportedFormatError as error:
            problem = str(error)
            if len(formats) == 1:
                break
            # Perhaps it does not know this way to ask for structured output.
            formats.pop(0)
            tries -= 1
        except TransientError as error:
            problem = str(error)
            wait_seconds = _wait(tries, error.wait_seconds, limits)
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


def _wait(tries: int, asked_seconds: float | None, limits: Limits) -> float:
    if asked_seconds is not None:
        return asked_seconds
    longest = min(LONGEST_WAIT_SECONDS, limits.first_wait_seconds * 2.0 ** (tries - 1))
    # Many that were turned away together must not come back together.
    return longest * random.uniform(0.5, 1.0)
