"""Describes an exception for the model: a plain traceback of the user's own frames, and the same as data.

`Repl` calls `describe` when a cell raised. The kernel's frames are taken out of the exception and of every one chained
to it; recursion and long walks through libraries are cut in the middle. The data (`chain`) lets the host lay the same
traceback out in another way, as the paper's interpreters did.

Runs user code only in `__str__` of exceptions, which may fail in any way. Must itself never raise.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Dict, List, Optional

from .guard import keep_builtins

__all__ = ["OURS", "describe", "hide_kernel_frames", "last_resort", "message_of"]

keep_builtins(globals())

MAX_FRAMES = 100
"""Frames shown of one exception: the outermost and the innermost half."""
MAX_MESSAGE = 64 << 10
MAX_TRACEBACK = 256 << 10
MAX_SOURCE = 512 << 10
"""Characters that an exception's message, its traceback and all source lines told with it may have: together they
travel in one header (wire.py)."""
OURS = [os.path.dirname(os.path.abspath(__file__)) + os.sep]
"""Files whose paths begin so are not the user's to see; backends/inprocess.py adds its own."""
_CONTEXT = 30
"""Lines of source told before and after a frame's own."""


def describe(error: BaseException) -> Dict[str, Any]:
    """What a cell's failure looks like.

    Returns:
        `name`, `message`, `traceback` (plain text, ends without a new line) and `chain`: the exceptions from the first
        cause to this one, each with `name`, `message`, `link` (how it led to the next: "cause", "context" or ""),
        `frames` and, for a SyntaxError, `syntax`.
    """
    try:
        errors = _chain(error)
        for one in errors:
            hide_kernel_frames(one)
        chain = [_as_data(one, errors[i + 1] if i + 1 < len(errors) else None) for i, one in enumerate(errors)]
        _spare(chain)
        return {"name": type(error).__name__, "message": message_of(error), "traceback": _text(error), "chain": chain}
    except KeyboardInterrupt:
        raise
    except BaseException:
        return last_resort(error)


def last_resort(error: BaseException) -> Dict[str, Any]:
    """The least that can be said, where describing itself failed (no stack or memory left, a broken library)."""
    name = type(error).__name__
    message = message_of(error)
    return {"name": name, "message": message, "traceback": "%s: %s" % (name, message), "chain": []}


def message_of(error: BaseException) -> str:
    """`str(error)`, whatever it does."""
    try:
        return _cut("".join((str(error),)), MAX_MESSAGE)      # join: a str of the user's own class becomes a plain one
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "<exception str() failed>"


def _cut(text: str, limit: int) -> str:
    """Keep both ends of a text."""
    if len(text) <= limit:
        return text
    return "%s... [%d characters left out] ...%s" % (text[:limit // 2], len(text) - limit, text[-(limit // 2):])


def hide_kernel_frames(error: BaseException) -> None:
    """Take the kernel's frames out of an exception's traceback, and the middle of one that is very long.

    Above the cell's own first frame nothing is the user's either: there asyncio may have run it.
    """
    frames: List[TracebackType] = []
    step = error.__traceback__
    seen_cell = False
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not seen_cell and file.startswith("<cell "):
            seen_cell = True
            frames.clear()
        if not file.startswith(tuple(OURS)):
            frames.append(step)
        step = step.tb_next
    if len(frames) > 10 * MAX_FRAMES:       # a raised recursion limit: formatting a million frames takes minutes
        frames = frames[:5 * MAX_FRAMES] + frames[-5 * MAX_FRAMES:]
    rebuilt: Optional[TracebackType] = None
    for step in reversed(frames):
        rebuilt = TracebackType(rebuilt, step.tb_frame, step.tb_lasti, step.tb_lineno)
    error.__traceback__ = rebuilt


def _chain(error: BaseException) -> List[BaseException]:
    """The exceptions that are shown for this one, the first to be raised first."""
    chain: List[BaseException] = []
    step: Optional[BaseException] = error
    while step is not None and all(step is not one for one in chain) and len(chain) < 20:
        chain.append(step)
        step = step.__cause__ if step.__cause__ is not None or step.__suppress_context__ else step.__context__
    chain.reverse()
    return chain


def _text(error: BaseException) -> str:
    import traceback

    whole = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    if error.__traceback__ is None and error.__cause__ is None and error.__context__ is None \
            and not hasattr(error, "exceptions"):
        return _cut("".join(whole.format_exception_only()).rstrip("\n"), MAX_TRACEBACK)
    for part in _parts(whole):
        _shorten(part.stack)
    return _cut("".join(whole.format()).rstrip("\n"), MAX_TRACEBACK)


def _parts(whole: Any) -> List[Any]:
    """A TracebackException and all that hang on it."""
    parts: List[Any] = []
    todo = [whole]
    while todo:
        part = todo.pop()
        parts.append(part)
        todo.extend(p for p in (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
                    if p is not None)
        hidden = [frame for frame in part.stack if frame.filename.startswith(tuple(OURS))]
        for frame in hidden:        # of exceptions in a group
            part.stack.remove(frame)
    return parts


def _shorten(stack: Any) -> None:
    """Cut the middle of a long stack, unless it is one line over and over (which `traceback` folds)."""
    different = {(frame.filename, frame.lineno) for frame in stack}
    if len(different) <= MAX_FRAMES:
        return
    import traceback

    left_out = len(stack) - MAX_FRAMES
    note = traceback.FrameSummary("<%d frames left out>" % left_out, 0, "...", lookup_line=False, line="")
    stack[MAX_FRAMES // 2:len(stack) - MAX_FRAMES // 2] = [note]


def _spare(chain: List[Dict[str, Any]]) -> None:
    """Send no more source than `MAX_SOURCE`; the innermost frames of the last exception have theirs first."""
    left = MAX_SOURCE
    for one in reversed(chain):
        for frame in reversed(one["frames"]):
            left -= sum(map(len, frame["source"]["lines"]))
            if left < 0:
                frame["source"] = {"first": 0, "lines": []}


def _as_data(error: BaseException, following: Optional[BaseException]) -> Dict[str, Any]:
    frames: List[Dict[str, Any]] = []
    steps: List[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        steps.append(step)
        step = step.tb_next
    same = 0
    for i, step in enumerate(steps):
        code = step.tb_frame.f_code
        # Of a run of one line, as in recursion, the first two and the last are shown.
        if 1 < i < len(steps) - 1 and _same(steps[i - 1], step) and _same(steps[i - 2], step) \
                and _same(steps[i + 1], step):
            same += 1
            frames[-1]["repeats"] = same
            continue
        same = 0
        frames.append({"file": code.co_filename, "line": step.tb_lineno, "function": _signature(step.tb_frame),
                       "source": _source(step)})
    if len(frames) > MAX_FRAMES:
        frames[MAX_FRAMES // 2:-MAX_FRAMES // 2] = []
    link = ""
    if following is not None:
        link = "cause" if following.__cause__ is error else "context"
    data: Dict[str, Any] = {"name": type(error).__name__, "message": message_of(error), "link": link, "frames": frames}
    if isinstance(error, SyntaxError):
        data["message"] = _cut(str(error.msg), MAX_MESSAGE)
        data["syntax"] = {"file": error.filename if isinstance(error.filename, str) else None,
                          "line": error.lineno if isinstance(error.lineno, int) else None,
                          "text": error.text[:10_000] if isinstance(error.text, str) else None,
                          "offset": error.offset if isinstance(error.offset, int) else None}
    return data


def _same(one: TracebackType, other: TracebackType) -> bool:
    return one.tb_lineno == other.tb_lineno and one.tb_frame.f_code is other.tb_frame.f_code


def _signature(frame: Any) -> str:
    """`name(a, b, *args)`, or "" for the top of a cell."""
    code = frame.f_code
    if code.co_name == "<module>":
        return ""
    name = getattr(code, "co_qualname", code.co_name)     # 3.11 and later
    names = code.co_varnames
    n = code.co_argcount + code.co_kwonlyargcount
    args = list(names[:n])
    for flag, stars in ((0x04, "*"), (0x08, "**")):
        if code.co_flags & flag:
            args.append(stars + names[n])
            n += 1
    return "%s(%s)" % (name, ", ".join(args))


def _source(step: TracebackType) -> Dict[str, Any]:
    """The code around a frame's line: where its lines begin, and the lines."""
    import linecache

    code = step.tb_frame.f_code
    lines = linecache.getlines(code.co_filename, step.tb_frame.f_globals)
    if not lines or step.tb_lineno is None:
        return {"first": 0, "lines": []}
    first = max(1, step.tb_lineno - _CONTEXT)
    kept = lines[first - 1:step.tb_lineno + _CONTEXT]
    return {"first": first, "lines": [line.rstrip("\n")[:2000] for line in kept]}
