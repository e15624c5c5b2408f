"""Against a real HTTP server: what is tried again, for how long, and what is not."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable

import openai
import pytest

from pytest_attn_grader.cli.assess.client import AcceptedAnswer, Endpoint, RefusedError, RequestLimits
from pytest_attn_grader.cli.assess.prompt import build_request
from pytest_attn_grader.errors import AssessorUnavailableError, UsageError
from pytest_attn_grader.results.assessment import TokenUsage
from tests.cli.assess.conftest import answer, evaluation
from tests.support.llm_server import KEY, LlmServer, Reply, completion, error

QUICK = RequestLimits(tries=3, answer_seconds=5.0, total_seconds=5.0)
Serve = Callable[..., LlmServer]
pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)


def asked(limits: RequestLimits = QUICK) -> AcceptedAnswer:
    async def run() -> AcceptedAnswer:
        async with Endpoint(limits) as endpoint:
            return await endpoint.request_answer(build_request(evaluation(), None), "tiny")

    return asyncio.run(run())


def problem(limits: RequestLimits = QUICK) -> str:
    with pytest.raises(AssessorUnavailableError) as caught:
        asked(limits)
    return str(caught.value)


def test_a_right_answer(serve: Serve) -> None:
    server = serve(completion(answer()))
    came = asked()
    assert (came.tries, came.answer_format, came.model) == (1, "bounded_json_schema", "tiny-1.5")
    assert came.usage == TokenUsage(prompt=700, completion=90, total=790)
    assert came.answer.summary == "Scale it."
    (sent,) = server.requests
    assert (sent["model"], sent["response_format"]["type"]) == ("tiny", "json_schema")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_malformed_then_right(serve: Serve) -> None:
    server = serve(completion("I will not."), completion(answer(score=100)), completion(answer()))
    assert asked().tries == 3
    said = [request["messages"][1]["content"][-160:] for request in server.requests]
    assert "could not be used" not in said[0]
    assert "could not be used: there is no JSON object in it." in said[1]
    assert "there is a field that was not asked for." in said[2]


@pytest.mark.parametrize(
    "reply",
    [
        completion(None),
        completion("{}"),
        completion(["text"], model=7, usage="much"),
        completion(answer(), choices=[]),
        completion(answer(), choices="none"),
        Reply(b""),
        Reply(b"<html>Sign in</html>", headers={"Content-Type": "text/html; charset=rot13"}),
        Reply(b"[" * 100_000),
        Reply(b"[1]"),
        Reply(b"\xff\xfe"),
    ],
)
def test_always_malformed(reply: Reply, serve: Serve) -> None:
    server = serve(reply)
    assert problem().startswith("no usable answer (--tries 3): the answer could not be used: ")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_busy_endpoint_is_asked_again(status: int, serve: Serve) -> None:
    server = serve(error(status), error(status), completion(answer()))
    assert asked().tries == 3
    assert len(server.requests) == 3


def test_an_endpoint_that_stays_busy(serve: Serve) -> None:
    server = serve(error(429, "slow down, \x1b[31mred\x07 and " + "long " * 1000))
    said = problem()
    assert r"status 429: slow down, \x1b[31mred\x07 and long" in said
    assert len(said) < 500
    assert len(server.requests) == 3


def test_a_slow_answer_is_given_up(serve: Serve) -> None:
    server = serve(Reply(completion(answer()).body, delay_seconds=20), completion(answer()))
    began = time.monotonic()
    assert asked(RequestLimits(answer_seconds=0.2)).tries == 2
    assert time.monotonic() - began < 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("reply", [Reply(b"", delay_seconds=20), Reply(completion(answer()).body, drip_seconds=0.05)])
def test_the_limit_is_on_all_tries_together(reply: Reply, serve: Serve) -> None:
    """Also where every byte comes in time and the whole never would."""
    serve(reply)
    began = time.monotonic()
    assert "there was none within 0.5 s" in problem(RequestLimits(total_seconds=0.5))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("refusals", "answer_format"), [(1, "json_schema"), (2, "json_object"), (3, "text")])
def test_an_endpoint_without_schemas_is_asked_more_simply(refusals: int, answer_format: str, serve: Serve) -> None:
    server = serve(*[error(400, "response_format?")] * refusals, completion(f"```json\n{json.dumps(answer())}\n```"))
    came = asked(RequestLimits(tries=1))
    assert (came.answer_format, came.tries) == (answer_format, refusals + 1)
    assert server.requests[-1].get("response_format", {}).get("type", "text") == answer_format


def test_a_request_that_is_never_taken(serve: Serve) -> None:
    server = serve(error(422, "too many tokens"))
    assert "status 422: too many tokens." in problem()
    assert len(server.requests) == 4


def test_an_answer_that_was_cut_off_is_said_as_such(serve: Serve) -> None:
    cut = json.loads(completion(json.dumps(answer())[:200]).body)
    cut["choices"][0]["finish_reason"] = "length"
    server = serve(Reply(json.dumps(cut).encode()))
    assert "cut off at the endpoint's limit of tokens (finish_reason: length)" in problem()
    assert "cut off" in server.requests[1]["messages"][1]["content"]


def test_a_whole_answer_is_taken_whatever_its_finish_reason(serve: Serve) -> None:
    whole = json.loads(completion(answer()).body)
    whole["choices"][0]["finish_reason"] = "length"
    serve(Reply(json.dumps(whole).encode()))
    assert asked().tries == 1


@pytest.mark.parametrize(("status", "for_all"), [(401, True), (404, True), (402, False), (403, False), (413, False)])
def test_a_refusal_is_not_tried_again(status: int, for_all: bool, serve: Serve) -> None:
    server = serve(error(status, f"Incorrect key {KEY}"))
    with pytest.raises(RefusedError) as caught:
        asked()
    assert caught.value.for_all is for_all
    assert str(caught.value) == f"status {status}: Incorrect key …"
    assert len(server.requests) == 1


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    serve()
    with socket.socket() as held:
        # Bound and not listening: the connection is refused, and nobody else can take the port meanwhile.
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        assert "the endpoint in OPENAI_BASE_URL cannot be reached (" in problem()


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8000/v1", "file:///etc/passwd", "http://", "http://[", "http://127.0.0.1:99999/v1",
     "http://é..x/v1", "http://a\x1b[31m/v1"],
)  # fmt: skip
def test_an_address_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    serve()
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(UsageError, match=r"OPENAI_BASE_URL=.* is not an address. Write http://HOST:PORT/v1") as caught:
        Endpoint(QUICK)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["answer_seconds", "total_seconds", "tries"])
def test_limits_are_numbers_above_zero(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=r"is not a limit\. Give a number above 0"):
        RequestLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [None, " ", "a\nb", "clé"])
def test_a_key_that_cannot_be_used(key: str | None, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    serve()
    if key is None:
        monkeypatch.delenv("OPENAI_API_KEY")
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set, or not printable ASCII"):
        Endpoint(QUICK)


@pytest.mark.parametrize("status", [302, 307, 308])
def test_nothing_goes_to_another_address(status: int, serve: Serve) -> None:
    elsewhere = serve(completion(answer()))
    server = serve(error(status, Location=f"{elsewhere.url}/chat/completions"))
    with pytest.raises(RefusedError, match=f"status {status}"):
        asked()
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)
