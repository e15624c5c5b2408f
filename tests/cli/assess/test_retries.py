"""Against a real HTTP server: what is tried again, for how long, and what is not."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Callable

import pytest

from pytest_attn_grader.cli.assess.client import MAX_ANSWER_BYTES, Endpoint, PermanentError
from pytest_attn_grader.cli.assess.prompt import build_request
from pytest_attn_grader.cli.assess.retries import AcceptedAnswer, RequestLimits, request_with_retries
from pytest_attn_grader.errors import AssessorUnavailableError, UsageError
from pytest_attn_grader.results.assessment import TokenUsage
from tests.cli.assess.conftest import answer, evaluation
from tests.support.llm_server import KEY, LlmServer, Reply, completion, error

QUICK = RequestLimits(tries=3, answer_seconds=5.0, total_seconds=5.0, first_wait_seconds=0.01)
Serve = Callable[..., LlmServer]
pytestmark = pytest.mark.usefixtures("folder")


def asked(limits: RequestLimits = QUICK) -> AcceptedAnswer:
    async def run() -> AcceptedAnswer:
        async with Endpoint() as endpoint:
            return await request_with_retries(endpoint, build_request(evaluation(), None), "tiny", limits)

    return asyncio.run(run())


def problem(limits: RequestLimits = QUICK) -> str:
    with pytest.raises(AssessorUnavailableError) as caught:
        asked(limits)
    return str(caught.value)


def test_a_right_answer(serve: Serve) -> None:
    server = serve(completion(answer()))
    came = asked()
    assert (came.tries, came.answer_format, came.completion.model) == (1, "bounded_json_schema", "tiny-1.5")
    assert came.completion.usage == TokenUsage(prompt=700, completion=90, total=790)
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
    assert problem().startswith("no usable answer after 3 tries (5 s at most): the answer could not be used: ")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_busy_endpoint_is_asked_again(status: int, serve: Serve) -> None:
    server = serve(error(status), error(status), completion(answer()))
    assert asked().tries == 3
    assert len(server.requests) == 3


@pytest.mark.parametrize("charset", ["bz2", "idna", "utf-7", "undefined", "unicode_escape", "no-such"])
def test_an_error_is_read_as_utf_8_whatever_it_claims(charset: str, serve: Serve) -> None:
    said = Reply('{"error": {"message": "voilà"}}'.encode(), 500, {"Content-Type": f"text/plain; charset={charset}"})
    serve(said, said, completion(answer()), said)
    assert asked().tries == 3
    assert "status 500: voilà" in problem()


def test_an_endpoint_that_stays_busy(serve: Serve) -> None:
    server = serve(error(429, "slow down, \x1b[31mred\x07 and " + "long " * 1000))
    said = problem()
    assert r"status 429: slow down, \x1b[31mred\x07 and long" in said
    assert len(said) < 500
    assert len(server.requests) == 3


def test_its_wish_how_long_to_wait_is_heeded(serve: Serve) -> None:
    serve(error(429, Retry_After="0.3"), error(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), completion(answer()))
    began = time.monotonic()
    assert asked().tries == 3
    assert 0.3 <= time.monotonic() - began < 2


@pytest.mark.parametrize("wish", ["3600", "1e30"])
def test_a_wish_past_the_limit_ends_it_at_once(wish: str, serve: Serve) -> None:
    server = serve(error(429, "later", Retry_After=wish))
    assert "later; the next try would be in " in problem()
    assert len(server.requests) == 1


@pytest.mark.parametrize("wish", ["-1", "nan", "inf", "soon"])
def test_a_wish_that_is_none(wish: str, serve: Serve) -> None:
    serve(error(429, Retry_After=wish), completion(answer()))
    assert asked().tries == 2


def test_a_slow_answer_is_given_up(serve: Serve) -> None:
    slow = completion(answer(), id="1")
    server = serve(Reply(slow.body, delay_seconds=20), completion(answer()))
    began = time.monotonic()
    assert asked(RequestLimits(answer_seconds=0.2, first_wait_seconds=0.01)).tries == 2
    assert time.monotonic() - began < 2
    assert len(server.requests) == 2


def test_an_answer_that_drips_is_given_up_too(serve: Serve) -> None:
    """Every byte comes in time, the whole never would."""
    serve(Reply(completion(answer()).body, drip_seconds=0.05))
    began = time.monotonic()
    said = problem(RequestLimits(tries=2, answer_seconds=0.3, first_wait_seconds=0.01))
    assert "after 2 tries" in said
    assert "no whole answer within 0.3 s" in said
    assert time.monotonic() - began < 2


def test_the_limit_is_on_all_tries_together(serve: Serve) -> None:
    server = serve(error(500))
    began = time.monotonic()
    said = problem(RequestLimits(tries=10_000, total_seconds=0.5, first_wait_seconds=0.05))
    assert time.monotonic() - began < 1.5
    assert "(0.5 s at most): status 500: no" in said
    assert 2 <= len(server.requests) < 20


def test_a_try_that_would_come_too_late_is_not_waited_for(serve: Serve) -> None:
    server = serve(error(500))
    began = time.monotonic()
    said = problem(RequestLimits(tries=3, total_seconds=5.0, first_wait_seconds=60.0))
    assert time.monotonic() - began < 4.0
    assert "after 1 try (5 s at most): status 500: no; the next try would be in" in said
    assert len(server.requests) == 1


def test_the_last_try_has_only_the_time_that_is_left(serve: Serve) -> None:
    serve(Reply(b"", delay_seconds=20))
    began = time.monotonic()
    assert "after 1 try (0.3 s at most): no whole answer within 0.3 s" in problem(RequestLimits(total_seconds=0.3))
    assert time.monotonic() - began < 1.5


def test_more_than_an_answer_is_not_read(serve: Serve) -> None:
    for reply in (completion("x" * 5_000_000), error(500, "x" * 5_000_000)):
        serve(reply)
        assert f"the answer is longer than {MAX_ANSWER_BYTES} bytes" in problem()


def test_nothing_is_unpacked(serve: Serve) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server = serve(Reply(bomb, headers={"Content-Encoding": "gzip"}))
    assert "compresses its answers although it was asked not to" in problem()
    assert server.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(("refusals", "answer_format"), [(1, "json_schema"), (2, "json_object"), (3, "text")])
def test_an_endpoint_without_schemas_is_asked_more_simply(refusals: int, answer_format: str, serve: Serve) -> None:
    server = serve(*[error(400, "response_format?")] * refusals, completion(f"```json\n{json.dumps(answer())}\n```"))
    came = asked(RequestLimits(tries=1, first_wait_seconds=0.01))
    assert (came.answer_format, came.tries) == (answer_format, refusals + 1)
    assert server.requests[-1].get("response_format", {}).get("type", "text") == answer_format


def test_a_request_that_is_never_taken(serve: Serve) -> None:
    server = serve(error(422, "too many tokens"))
    assert "after 4 tries (5 s at most): status 422: too many tokens." in problem()
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
    with pytest.raises(PermanentError) as caught:
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
        said = problem()
    assert "after 3 tries" in said
    assert "the endpoint in OPENAI_BASE_URL cannot be reached (" in said


def test_an_endpoint_that_is_no_http(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    serve()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        # It never answers; the time limit holds from the first byte.
        assert "no whole answer within 0.1 s" in problem(RequestLimits(tries=1, answer_seconds=0.1))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["answer_seconds", "total_seconds", "tries"])
def test_limits_are_numbers_above_zero(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=r"is not a limit\. Give a number above 0"):
        RequestLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OPENAI_API_KEY", None, "OPENAI_API_KEY is not set. Set it to the key of the endpoint"),
        ("OPENAI_API_KEY", " ", "OPENAI_API_KEY is not set"),
        ("OPENAI_API_KEY", "a\nb", "contains a character that is not printable ASCII"),
        ("OPENAI_API_KEY", "clé", "contains a character that is not printable ASCII"),
        ("OPENAI_BASE_URL", "", "OPENAI_BASE_URL= is not an address"),
        ("OPENAI_BASE_URL", "127.0.0.1:8000/v1", "is not an address. Write http://HOST:PORT/v1"),
        ("OPENAI_BASE_URL", "file:///etc/passwd", "is not an address"),
        ("OPENAI_BASE_URL", "http://", "is not an address"),
        ("OPENAI_BASE_URL", "http://[", "is not an address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1", "is not an address"),
        ("OPENAI_BASE_URL", "http://a b/v1", "is not an address"),
        ("OPENAI_BASE_URL", "http://é..x/v1", "is not an address"),
        ("OPENAI_BASE_URL", "http://a\x1b[31m/v1", r"OPENAI_BASE_URL=http://a\x1b[31m/v1 is not an address"),
    ],
)
def test_what_the_environment_must_say(
    name: str, value: str | None, words: str, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    serve()
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        Endpoint()
    assert words in str(caught.value)


def test_one_try_is_one_request(serve: Serve) -> None:
    """The client has retries of its own; with them the count of tries would be wrong."""
    server = serve(error(500))
    assert "after 1 try (2 s at most)" in problem(RequestLimits(tries=1, total_seconds=2))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [302, 307, 308])
def test_nothing_goes_to_another_address(status: int, serve: Serve) -> None:
    elsewhere = serve(completion(answer()))
    server = serve(error(status, Location=f"{elsewhere.url}/chat/completions"))
    with pytest.raises(PermanentError, match=f"status {status}"):
        asked()
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)
