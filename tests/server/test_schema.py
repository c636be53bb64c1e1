"""The service against its own schema: schemathesis makes up requests, and none of them may get a 5xx.

Every session is the walled one a user would have; what the made-up code does stays in there.
"""

import warnings
from collections import Counter
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import hypothesis
import schemathesis
from running import started
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [schemathesis.checks.not_a_server_error, status_code_conformance, content_type_conformance,
          response_schema_conformance]  # fmt: skip


@pytest.fixture(scope="module")
def service():
    """A service that runs, with a session `a`."""
    with started("--timeout", "2", "--max-sessions", "6") as service:
        yield service
        assert service.ask("POST", "/sessions/a/run", {"code": "6 * 7"})[1]["text"].endswith("]: 42")
        assert service.end() == (130, "")


def ask(service, *, examples: int) -> Counter:
    """Send so many requests to each operation, and judge the answers; how many got which status."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json", headers=service.headers)
    seen: Counter = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))
        def judge(case):
            if "id" in (case.path_parameters or {}) and sum(seen.values()) % 3:
                case.path_parameters["id"] = "a"   # else nearly all are of unknown sessions
            answer = case.call(headers=service.headers)
            seen[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        for session in service.ask("GET", "/sessions")[1]["sessions"]:
            service.ask("DELETE", f"/sessions/{quote(session['id'], safe='')}")
        service.ask("POST", "/sessions", {"id": "a"})
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            judge()
    return seen


def test_a_few_requests_of_every_kind_are_answered_as_the_schema_says(service):
    seen = ask(service, examples=5)
    assert sum(seen.values()) > 50
    assert seen[200] > 5


@pytest.mark.slow
def test_many_requests_of_every_kind_are_answered_as_the_schema_says(service):
    assert sum(ask(service, examples=150).values()) > 1000
