"""A server that speaks as much of the Chat Completions API as the tests need, over real HTTP on loopback.

`FakeServer(*answers)` gives one answer a request, the last one for ever. An answer is a function of the handler.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class FakeServer:
    def __init__(self, *answers: Answer, models: Sequence[str] = (), gets: Mapping[str, Any] | None = None) -> None:
        """`gets`: what is answered to GET, by path; everything else is 404 then."""
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append(json.loads(body))
                server.keys.append(self.headers["Authorization"])
                answers[min(len(server.requests), len(answers)) - 1](self)

            def do_GET(self) -> None:
                if gets is not None:
                    return fixed(200, gets[self.path])(self) if self.path in gets else failed(404, "not found")(self)
                return fixed(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in models]})(self)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def fixed(status: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    """One whole body; bytes as they are, anything else as JSON."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def failed(status: int, message: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    """An error as OpenAI words it."""
    return fixed(status, {"error": {"message": message, **fields}}, headers)


def chunk(content: str | None = None, *, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One piece of a reply."""
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def used(prompt: int, completion: int, **extra: Any) -> dict[str, Any]:
    """The chunk that tells the usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **extra}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [], "usage": usage}


def streamed(
    *chunks: dict[str, Any] | str, done: bool = True, cut: bool = False, each: Callable[[], object] = lambda: None, named: Sequence[str] = ()
) -> Answer:
    """A stream of chunks; with `cut` the connection breaks off after them. `named`: the events' names, where they have any."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at, data in enumerate([*chunks, *(["[DONE]"] if done and not cut else [])]):
            name = f"event: {named[at]}\n" if at < len(named) else ""
            text = f"{name}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
            try:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            except OSError:
                return
            each()
        if not cut:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer
