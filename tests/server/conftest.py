"""A service within the test's process, spoken to as over HTTP."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from starlette.testclient import TestClient

from codeact import Limits
from codeact.server.api import create_app
from codeact.server.sessions import Sessions

TOKEN = "token-of-the-tests"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture
def serve():
    """Makes clients of services, which end with the test; arguments are those of `Sessions`, or `app` for the rest."""
    clients = []

    def make(sessions=None, *, token=TOKEN, app=None, **arguments):
        sessions = sessions or Sessions({"limits": Limits(wall_seconds=60)}, **arguments)
        client = TestClient(create_app(sessions, token=token, **app or {}), base_url=ADDRESS,
                            headers={"Authorization": f"Bearer {token}"} if token else {})
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def service():
    """A client of one service for a file's tests."""
    with TestClient(create_app(Sessions(), token=TOKEN), base_url=ADDRESS,
                    headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def session(service):
    """The path of a new session."""
    made = service.post("/sessions", json={})
    assert made.status_code == 201, made.text
    path = f"/sessions/{made.json()['id']}"
    yield path
    service.delete(path)
