"""Tells how a cell ended: an `Outcome` becomes an `ExecutionResult`, in the words of a style."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import Display, Event, Failure, Note, Text, Value
from codeact.interpreter.result import ErrorInfo, ExecutionResult
from codeact.interpreter.style import Style

__all__ = ["report"]


def report(outcome: Outcome, style: Style, *, number: int, level: int, seconds: float | None, files: list[str],
           lost: list[str], layer: Literal["overlay", "copy"] | None = None, hint: str = "") -> ExecutionResult:
    """The result of a cell.

    Args:
        number: The n of `Out[n]`.
        level: Which walls stood.
        seconds: Its time limit.
        files: What it created or changed.
        lost: What could not be brought back after its death.
        layer: How the user's folder is kept as it is.
        hint: What might help.
    """
    notes = [outcome.before] if outcome.before else []
    error = outcome.error
    if outcome.status in ("timeout", "interrupted", "limit") and not outcome.dead:
        error = _stopped(outcome, style, seconds)
        notes.append(style.kept)
    elif outcome.dead:
        name = {"timeout": "TimeoutError", "limit": "MemoryError"}.get(outcome.status, "KernelDied")
        error = ErrorInfo(name, outcome.reason, f"{name}: {outcome.reason}")
        notes.append(outcome.after or ("The variables are as they were before this cell." if not lost else
                     "The process was started again; " + "; ".join(lost) + ". Other variables are back."))
    hint = style.advised(hint)
    if error is not None and style.advice:
        error = replace(error, message=style.advised(error.message), traceback=style.advised(error.traceback))
    events: list[Event] = []
    for kind, content in outcome.pieces:
        if kind == "dropped":
            events.append(Text("stdout", f"\n[... {content:,} bytes of output left out ...]\n"))
        elif kind != "display":
            events.append(Text("stderr" if kind == "stderr" else "stdout", str(content)))
        elif (bundle := outcome.displays.get(int(content))) is not None:
            events.append(Display(bundle))
    if -1 in outcome.displays:
        events.append(Note("[further displays left out]"))
    if outcome.value is not None:
        events.append(Value(outcome.value))
    if error is not None:
        events.append(Failure(error.name, error.message, error.traceback,
                              outcome.chain if not outcome.dead else ()))
    if style.hints and hint:
        notes.append(f"[{hint}]")
    events.extend(Note(note) for note in notes if note)
    printed: dict[str, list[str]] = {"stdout": [], "stderr": []}
    outputs: list[dict[str, str | bytes]] = []
    for event in events:
        if isinstance(event, Text):
            printed[event.stream].append(event.text)
        elif isinstance(event, (Display, Value)):
            outputs.append(dict(event.bundle))
    return ExecutionResult(
        text=style.render(events, number=number),
        outputs=outputs, value=outcome.value, error=error, files=files, status=outcome.status, number=number,
        seconds=outcome.seconds,
        stdout="".join(printed["stdout"]), stderr="".join(printed["stderr"]),
        level=level, restored=outcome.dead, lost=lost, layer=layer, hint=hint)


def _stopped(outcome: Outcome, style: Style, seconds: float | None) -> ErrorInfo:
    """A cell the host interrupted, in the model's words: its own KeyboardInterrupt does not say why."""
    name = {"timeout": "TimeoutError", "limit": "ResourceLimit"}.get(outcome.status, "KeyboardInterrupt")
    message = style.timed_out.format(seconds=seconds) if outcome.status == "timeout" else outcome.reason
    lines = outcome.error.traceback.rstrip().splitlines() if outcome.error else []
    if lines and lines[-1].startswith("KeyboardInterrupt"):
        lines.pop()
    return ErrorInfo(name, message, "\n".join([*lines, f"{name}: {message}"]))
