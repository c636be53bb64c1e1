"""The chat's API against its own schema: schemathesis makes up requests, and none of them may get a 5xx."""

import warnings
from collections import Counter

import pytest
from serving import TOKEN

from codeact.web.gate import Policy

pytest.importorskip("schemathesis")

import hypothesis
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [schemathesis.checks.not_a_server_error, status_code_conformance, content_type_conformance,
          response_schema_conformance]  # fmt: skip
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def ask(served, *, examples: int) -> Counter:
    """Send so many requests to each operation, and judge the answers; how many got which status."""
    schema = schemathesis.openapi.from_url(f"{served.url}/api/openapi.json", headers=HEADERS)
    seen: Counter = Counter()
    key = served.chats.create("local").id
    served.chats.send(key, "local", "`x = 1`")
    served.chats.wait(key, "local", 30)
    token = served.chats.share(key, "local")
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))
        def judge(case):
            given = case.path_parameters or {}
            if sum(seen.values()) % 3:   # else nearly all are of unknown conversations
                given.update({name: value for name, value in (("key", key), ("token", token)) if name in given})
            if operation.path.endswith("/events"):
                case.query = {**(case.query or {}), "stream": "false"}   # the other one has no end
            if operation.path.endswith("/messages") and isinstance(case.body, dict):
                case.body["text"] = str(case.body.get("text", "")).replace("wait", "")   # the model would
            answer = case.call(headers=HEADERS)
            seen[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        if operation.method == "delete" and operation.path.endswith("{key}"):
            key = served.chats.create("local").id
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            judge()
        served.chats.stop(key, "local") if key in {one.id for one in served.chats.find("local")} else None
        if key not in {one.id for one in served.chats.find("local")}:
            key = served.chats.create("local").id
            token = served.chats.share(key, "local")
    return seen


@pytest.fixture
def unhurried(serve, monkeypatch):
    monkeypatch.setattr("codeact.web.rates._BURST", 1e9)
    return serve(policy=Policy(token=TOKEN))


def test_a_few_requests_of_every_kind_are_answered_as_the_chats_schema_says(unhurried):
    seen = ask(unhurried, examples=5)
    assert sum(seen.values()) > 80
    assert seen[200] > 5


@pytest.mark.slow
def test_many_requests_of_every_kind_are_answered_as_the_chats_schema_says(unhurried):
    assert sum(ask(unhurried, examples=100).values()) > 1500
