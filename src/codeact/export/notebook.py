"""A trajectory as a Jupyter notebook (nbformat 4.5) that can be read as it was and run again.

    notebook.save(result.trajectory, "work.ipynb")

The user's words, the model's thoughts and its answers are Markdown cells; its code is code cells with their outputs:
text, tables, figures, errors. A cell that failed is tagged `raises-exception`, so that "Run all" goes on after it; one
that calls a tool by the model's tool call is tagged `skip-execution`, as the tool is not in the notebook, and so is one
that came to no end. Code may call tools too: what it needs is told at the top, if it is known.

Outputs come from a sandbox and may be hostile. Scripts are left out; HTML stays, for tables, and Jupyter shows it
cleaned until the notebook is run or trusted. Look at the code before you do either: a notebook has no walls.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from codeact.export.parts import Code, Failed, Part, Printed, Rich, Words, clean, parts, title
from codeact.trajectory import Bundle, Trajectory

__all__ = ["from_parts", "from_trajectory", "save"]

_LEFT_OUT = ("application/javascript", "text/javascript", "application/ecmascript")
_HEADINGS = {"user": "**You**\n\n", "assistant": "", "reasoning": "*Reasoning*\n\n", "note": "*codeact:* "}


def save(trajectory: Trajectory, path: str | Path, *, tools: Sequence[str] = ()) -> None:
    """Write a notebook, replacing what is there.

    Args:
        tools: Names of functions that the code calls and a notebook does not have.
    """
    words = json.dumps(from_trajectory(trajectory, tools=tools), indent=1) + "\n"
    Path(path).write_text(words, encoding="ascii")


def from_trajectory(trajectory: Trajectory, *, tools: Sequence[str] = ()) -> dict[str, Any]:
    """The notebook as JSON values."""
    return from_parts(parts(trajectory), title(trajectory.about), tools=tools)


def from_parts(found: Iterable[Part], head: str, *, tools: Sequence[str] = ()) -> dict[str, Any]:
    """A notebook of other parts, as JSON values; `head` is its first line."""
    found = list(found)
    called = dict.fromkeys([*tools, *(part.tool for part in found if isinstance(part, Code) and part.tool)])
    cells = [_markdown(0, _head(head, list(called)))]
    n_code = 0
    for part in found:
        if isinstance(part, Code):
            n_code += 1
            cells.append(_code(len(cells), part, n_code))
        else:
            cells.append(_words(len(cells), part))
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": cells,
    }


def _head(title: str, tools: list[str]) -> str:
    needed = "" if not tools else (
        "\n\nThe code may call these tools, which were functions of the session and are not in this notebook: "
        + ", ".join(f"`{name}`" for name in tools) + ".")
    return f"{title}.{needed}"


def _markdown(number: int, text: str, **more: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": f"words-{number}", "metadata": {}, "source": clean(text), **more}


def _words(number: int, part: Words) -> dict[str, Any]:
    attachments = {f"image-{n}": {one.mime: _base64(one.data)} for n, one in enumerate(part.images, start=1)}
    pictures = "".join(f"\n\n![{name}](attachment:{name})" for name in attachments)
    text = _HEADINGS.get(part.who, "") + part.text + pictures
    return _markdown(number, text, **({"attachments": attachments} if attachments else {}))


def _code(number: int, part: Code, count: int) -> dict[str, Any]:
    failed = ["raises-exception"] if part.status not in ("ok", "none") else []
    tags = ["skip-execution"] if part.tool or part.status == "cut" else failed
    return {
        "cell_type": "code",
        "id": f"code-{number}",
        "metadata": {"tags": tags} if tags else {},
        "execution_count": count,
        "source": clean(part.code),
        "outputs": [_output(one, count) for one in part.outputs],
    }


def _output(one: Printed | Rich | Failed, count: int) -> dict[str, Any]:
    match one:
        case Printed(text):
            return {"output_type": "stream", "name": "stdout", "text": clean(text)}
        case Failed(name, message, traceback):
            return {"output_type": "error", "ename": name, "evalue": clean(message),
                    "traceback": clean(traceback).splitlines()}
        case Rich(bundle, True):
            return {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": _data(bundle)}
        case Rich(bundle):
            return {"output_type": "display_data", "metadata": {}, "data": _data(bundle)}


def _data(bundle: Bundle) -> dict[str, Any]:
    """A bundle as notebooks spell it: bytes as base64, JSON as JSON."""
    data: dict[str, Any] = {}
    for mime, value in bundle.items():
        if mime.partition(";")[0].strip().lower() in _LEFT_OUT:
            continue
        if isinstance(value, bytes):
            data[mime] = _base64(value)
        elif mime == "application/json" or mime.endswith("+json"):
            try:
                data[mime] = json.loads(clean(value), parse_constant=_refuse)
            except (ValueError, RecursionError):
                continue
        else:
            data[mime] = clean(value)
    return data


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
