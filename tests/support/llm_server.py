"""An OpenAI-compatible endpoint on 127.0.0.1 that answers what it is told to, and can fail as real ones do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from tests.support.http_server import LoopbackServer

KEY = "sk-not-a-real-key-0123456789"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer.

    Args:
        delay_seconds: before the first byte.
        drip_seconds: between one byte of the body and the next; 0 sends all at once.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0


def completion(text: Any, **more: Any) -> Reply:
    """A chat completion whose message is this text; anything but a text is written as JSON into it."""
    content = text if isinstance(text, str) or text is None else json.dumps(text)
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny-1.5",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 700, "completion_tokens": 90, "total_tokens": 790},
    }
    return Reply(json.dumps(document | more).encode())


def error(status: int, message: str = "no", **headers: str) -> Reply:
    """An error as such endpoints wrap it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps({"error": {"message": message}}).encode(), status, named)


class LlmServer:
    """Answers with one reply after another, then with the last one again; keeps what it was asked."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self.replies: Sequence[Reply] = tuple(replies)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        # Set at the end, so that a slow answer does not hold up the test that gave up on it.
        self._closing = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = outer._next(self.path, body, {name.lower(): value for name, value in self.headers.items()})
                outer._closing.wait(reply.delay_seconds)
                try:
                    self.send_response(reply.status)
                    for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    if not reply.drip_seconds:
                        self.wfile.write(reply.body)
                        return
                    for byte in reply.body:
                        self.wfile.write(bytes([byte]))
                        if outer._closing.wait(reply.drip_seconds):
                            return
                except OSError:
                    self.close_connection = True  # the client has given up, as it should

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = LoopbackServer(Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def _next(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            assert path == "/v1/chat/completions", path
            self.requests.append(body)
            self.headers.append(headers)
            return self.replies[min(len(self.requests), len(self.replies)) - 1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets to ask here; no proxy in between."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}

    def __enter__(self) -> LlmServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
