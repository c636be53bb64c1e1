"""Servers for a file's tests, which end with the test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chats"))

pytest.importorskip("nicegui", reason="the extra `web` is not installed")
pytest.importorskip("uvicorn")

from serving import run_server


@pytest.fixture
def serve(tmp_path):
    ends = []

    def start(**options):
        served, end = run_server(options.pop("home", tmp_path / f"home{len(ends)}"), **options)
        ends.append(end)
        return served

    yield start
    for end in ends:
        end()


@pytest.fixture
def served(serve):
    return serve()
