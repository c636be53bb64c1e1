"""The routes of the service that ask what a session holds, mark its states and go back to them; api.py adds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI
from fastapi.responses import Response

from codeact.interpreter.history import Checkpoint
from codeact.interpreter.interpreter import Interpreter
from codeact.server import models
from codeact.server.answers import Json
from codeact.server.faults import Fault

__all__ = ["add_states"]

T = TypeVar("T")


class Use(Protocol):
    """Claims a session for a piece of work, which is done in a thread."""

    async def __call__(self, id: str, work: Callable[[Interpreter], T], /) -> T: ...


def add_states(app: FastAPI, use: Use) -> None:
    """Give the application these routes."""

    @app.get("/sessions/{id}/variables", response_model=models.VariablesAnswer,
             summary="Say what variables there are, in the order they were made")
    async def variables(id: str) -> Response:
        found = await use(id, Interpreter.variables)
        return Json({"variables": [asdict(variable) for variable in found]})

    @app.get("/sessions/{id}/checkpoints", response_model=models.CheckpointsAnswer,
             summary="List the states that were marked")
    async def list_checkpoints(id: str) -> Response:
        marks = await use(id, lambda py: py.checkpoints)
        return Json({"checkpoints": [_mark(name, mark) for name, mark in marks.items()]})

    @app.post("/sessions/{id}/checkpoints", status_code=201, response_model=models.CheckpointAnswer,
              summary="Mark the state of now: variables, and small files of a workspace of the session's own")
    async def checkpoint(id: str, body: models.Mark) -> Response:
        return Json(_mark(body.name, await use(id, lambda py: py.checkpoint(body.name))), 201)

    @app.post("/sessions/{id}/restore", response_model=models.RestoreAnswer, summary="Go back to a marked state")
    async def restore(id: str, body: models.Mark) -> Response:
        def go_back(py: Interpreter) -> list[str]:
            if body.name not in py.checkpoints:
                raise Fault(404, "unknown_checkpoint", f"no checkpoint is named {body.name!r}; there are: "
                                                       f"{', '.join(py.checkpoints) or 'none'}")
            return py.restore(body.name)

        return Json({"lost": await use(id, go_back)})

    @app.post("/sessions/{id}/undo", response_model=models.RestoreAnswer, summary="Go back to before the last cells")
    async def undo(id: str, body: models.Undo) -> Response:
        return Json({"lost": await use(id, lambda py: py.undo(body.n))})


def _mark(name: str, mark: Checkpoint) -> dict[str, Any]:
    return {"name": name, "cells": mark.cells, "taken": mark.taken}
