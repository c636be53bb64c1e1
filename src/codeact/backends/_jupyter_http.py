"""A Jupyter kernel behind a kernel gateway or Jupyter server: REST to start, interrupt and end it, a websocket to talk.

Used by jupyter.py. The address is whoever's the user typed, and so is the trust: the token goes there with each
request, and code and values travel as that address says (http: unencrypted).
"""

from __future__ import annotations

import json
import os
import select
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from codeact.backends._jupyter_wire import MAX_MESSAGE_BYTES, START_SECONDS, KernelLost, Message, message_of
from codeact.errors import ConfigError, InterpreterGone, MissingExtra

__all__ = ["HttpWire"]

ASK_SECONDS = 5.0
"""Of silence, after which the server is asked whether the kernel is still there."""
MAX_ANSWER_BYTES = 1 << 20
CLOSE, TEXT = 8, 1
"""Opcodes of RFC 6455."""


class HttpWire:
    """A kernel and the websocket to it.

    Args:
        url: `http://host:port/?token=...&kernel=NAME` starts a kernel (the server's default one without `kernel`);
            `http://host:port/api/kernels/ID?token=...` takes one that runs.

    Raises:
        MissingExtra: websocket-client is not installed.
        ConfigError: The address makes no sense, or the server refuses it.
        InterpreterGone: No server answers.
    """

    folder: Path | None = None

    def __init__(self, url: str):
        try:
            import websocket
        except ModuleNotFoundError as error:
            raise MissingExtra("websocket-client", "jupyter", f"backend='jupyter:{url.partition('://')[0]}://...'") \
                from error
        self._library: Any = websocket
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname:
            raise ConfigError("backend='jupyter:http...' takes an address such as http://localhost:8888/?token=...")
        query = dict(urllib.parse.parse_qsl(parts.query))
        path, _, kernel = parts.path.rstrip("/").partition("/api/kernels/")
        self._base = f"{parts.scheme}://{parts.netloc}{path}"
        self._headers = {"Authorization": f"token {query['token']}"} if query.get("token") else {}
        self._session = uuid.uuid4().hex
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._socket: Any = None
        self._restarted = False
        """The server has begun to start the kernel again by itself."""
        self.owned = not kernel
        self._id = kernel
        try:
            if self.owned:
                wanted = {"name": query["kernel"]} if query.get("kernel") else {}
                answer = self._request("POST", "", json.dumps(wanted).encode())
                self._id = str(answer.get("id", "")) if isinstance(answer, dict) else ""
            else:
                self._request("GET", f"/{kernel}")
            if not self._id.replace("-", "").isalnum():
                raise ConfigError(f"{self._base} does not answer as a Jupyter server does")
            self._connect()
        except KernelLost as error:
            self.close()
            raise InterpreterGone(str(error)) from None
        except BaseException:
            self.close()
            raise

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        """One request about kernels; the parsed answer, None where it has none."""
        request = urllib.request.Request(f"{self._base}/api/kernels{path}", data=body, method=method, headers={
            **self._headers, "Content-Type": "application/json"})
        try:
            with _opener().open(request, timeout=START_SECONDS) as response:
                text = response.read(MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode(errors="replace").strip()
            if error.code in (401, 403):
                raise ConfigError(f"{self._base} refuses ({error.code}): give its token, "
                                  "backend='jupyter:http://host:port/?token=...'") from None
            raise ConfigError(f"{self._base} answers {error.code} to {method} /api/kernels{path}: {said[:500]}") \
                from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise InterpreterGone(f"no Jupyter server answers at {self._base} ({reason}); start one with `jupyter "
                                  "kernelgateway` or `jupyter server`") from None
        try:
            return json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            raise ConfigError(f"{self._base} does not answer as a Jupyter server does") from None

    def _connect(self) -> None:
        address = self._base.replace("http", "ws", 1)
        channels = f"{address}/api/kernels/{self._id}/channels?session_id={self._session}"
        try:
            self._socket = self._library.create_connection(
                channels, timeout=START_SECONDS, header=self._headers,
                redirect_limit=0,   # followed, it would carry the token along
                class_=_bounded(self._library))
            if self._socket.getstatus() != 101:   # some versions take a redirect for one
                raise KernelLost(f"the server does not open a way to the kernel (it answers "
                                 f"{self._socket.getstatus()})")
        except (OSError, self._library.WebSocketException) as error:
            raise KernelLost(f"the server does not open a way to the kernel ({error})") from None
        self._poll = select.poll()
        for fd in (self._socket.fileno(), self._wake):
            self._poll.register(fd, select.POLLIN)
        self._heard = time.monotonic()

    # The contract -----------------------------------------------------------------------------------------------------

    def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        number = uuid.uuid4().hex
        message = {"channel": channel, "header": {
            "msg_id": number, "msg_type": kind, "username": "codeact", "session": self._session, "version": "5.3",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
            "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
        try:
            self._socket.send(json.dumps(message))
        except (OSError, self._library.WebSocketException) as error:
            raise KernelLost(f"the way to the kernel is gone ({error})") from None
        return number

    def wait(self, seconds: float) -> list[Message]:
        if not self._is_pending():
            ready = dict(self._poll.poll(seconds * 1000))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if self._socket.fileno() not in ready:
                self._ask_whether_it_lives()
                return []
        self._heard = time.monotonic()
        try:
            opcode, frame = self._socket.recv_data_frame(control_frame=True)
        except (OSError, ValueError, self._library.WebSocketException) as error:
            raise KernelLost(f"the way to the kernel is gone ({error})") from None
        if opcode == CLOSE:
            raise KernelLost("the server closed the way to the kernel")
        if opcode != TEXT:
            return []   # a ping, or a message with buffers, which no cell's output needs
        try:
            raw = json.loads(frame.data)
        except (ValueError, RecursionError):
            return []
        message = message_of(raw, str(raw.get("channel", "")) if isinstance(raw, dict) else "", self._session)
        if message is None:
            return []
        if message.kind == "status" and (state := message.content.get("execution_state")) in (
                "dead", "restarting", "autorestarting"):
            self._restarted = state != "dead"
            raise KernelLost("the process ended without a word")
        return [message]

    def _is_pending(self) -> bool:
        """Whether bytes were decrypted already that no poll can see."""
        pending = getattr(self._socket.sock, "pending", None)
        return bool(pending is not None and pending())

    def _ask_whether_it_lives(self) -> None:
        if time.monotonic() - self._heard < ASK_SECONDS:
            return
        self._heard = time.monotonic()
        try:
            self._request("GET", f"/{self._id}")
        except (ConfigError, InterpreterGone) as error:
            raise KernelLost(str(error)) from None

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def interrupt(self) -> None:
        try:
            self._request("POST", f"/{self._id}/interrupt", b"")
        except (ConfigError, InterpreterGone):
            pass   # what is gone is noticed by whoever waits

    def restart(self) -> None:
        if not self.owned:
            raise KernelLost("the kernel is not ours to start again")
        self._hang_up()
        try:
            if not self._restarted:   # else the server does it already, and two at once fail
                self._request("POST", f"/{self._id}/restart", b"")
        except (ConfigError, InterpreterGone) as error:
            raise KernelLost(str(error)) from None
        self._restarted = False
        self._connect()

    def _hang_up(self) -> None:
        if self._socket is not None:
            try:
                self._socket.close(timeout=1)
            except (OSError, self._library.WebSocketException):
                pass
            self._socket = None

    def close(self) -> None:
        self._hang_up()
        if self.owned and self._id:
            try:
                self._request("DELETE", f"/{self._id}")
            except (ConfigError, InterpreterGone):
                pass
            self._id = ""
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other refusal: followed, it would carry the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def _bounded(library: Any) -> Any:
    """The library's websocket, which takes no frame, and no message in pieces, over `MAX_MESSAGE_BYTES`."""
    class Bounded(library.WebSocket):   # type: ignore[misc]
        def recv_frame(self) -> Any:
            buffer = self.frame_buffer
            if buffer.needs_header():
                buffer.recv_header()
            if buffer.needs_length():
                buffer.recv_length()
            held = self.cont_frame.cont_data
            if (buffer.length or 0) + (len(held[1]) if held else 0) > MAX_MESSAGE_BYTES:
                raise OSError(f"a message of {buffer.length:,} bytes is over the limit")
            return super().recv_frame()

    return Bounded
