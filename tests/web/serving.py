"""A server of the chat's on loopback, as `codeact serve` runs it, in a thread; models that do what they are told."""

import threading
import time

import httpx
import uvicorn
from test_chats import Calculator

from codeact.chats.chats import Chats
from codeact.chats.values import Options
from codeact.server.serve import listen
from codeact.web.app import create_app
from codeact.web.gate import Policy

TOKEN = "a-token-for-tests-0123456789"


class Served:
    """A running server."""

    def __init__(self, chats, port, end, app):
        self.chats, self.port, self.url, self.end = chats, port, f"http://127.0.0.1:{port}", end
        self.app = app

    def client(self, token=TOKEN, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers={**headers, **options.pop("headers", {})}, timeout=30, **options)


def run_server(home, *, policy=None, page=False, model=None, engine=None, **options):
    """Start one; gives it and what ends it."""
    found = model or Calculator()
    chats = Chats(home=home, model=lambda name: found, **{"defaults": Options(model="test"), "sandbox": "none", **options})
    listener = listen("127.0.0.1", 0)
    app = create_app(chats, policy or Policy(token=TOKEN), page=page, engine=engine)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", proxy_headers=False,
                                           timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)

    def end():
        chats.rest()
        server.should_exit = True
        chats.close()
        thread.join(20)
        listener.close()

    return Served(chats, listener.getsockname()[1], end, app), end
