"""How tools are described in a prompt; every format uses it, so that comparing formats compares nothing else."""

import textwrap
from collections.abc import Sequence

from codeact.protocols import MANY_TOOLS, Tool

__all__ = ["as_functions", "as_lines"]

_MAX_LINES = 300
_MAX_LINE_CHARS = 120

_FEW = "These functions are defined already; call them in your code, without importing them:"
_MANY = """\
{n} functions are defined already; call them in your code, without importing them. Here are their names; before you \
call one, see its arguments with `help(name)`. `search_tools("what you need")` finds more."""


def as_functions(tools: Sequence[Tool]) -> str:
    """For formats that are code: signatures with docstrings; of many tools only a line each, by module."""
    if len(tools) <= MANY_TOOLS:
        return "\n\n".join((_FEW, *map(_function, tools)))
    modules: dict[str, list[str]] = {}
    for tool in tools:
        module, _, name = tool.name.rpartition(".")
        modules.setdefault(module, []).append(_line(tool.name if not module else name, summary(tool)))
    parts = [_MANY.format(n=len(tools))]
    room = _MAX_LINES
    for module, lines in sorted(modules.items()):
        shown, room = lines[:room], max(0, room - len(lines))
        more = [f"... and {len(lines) - len(shown)} more"] if len(shown) < len(lines) else []
        head = [f"In the module `{module}`, called as `{module}.name(...)`:"] if module else []
        parts.append("\n".join([*head, *(f"- {line}" for line in [*shown, *more])]))
    return "\n\n".join(parts)


def as_lines(tools: Sequence[Tool]) -> str:
    """For formats without code, which cannot look anything up: each signature on a line; of few tools the whole doc."""
    if len(tools) > MANY_TOOLS:
        return "\n".join(f"- {_line(f'{tool.name}{tool.signature}', summary(tool))}" for tool in tools)
    docs = (textwrap.indent(tool.doc.strip(), "  ").strip() for tool in tools)
    return "\n".join(f"- {_line(f'{tool.name}{tool.signature}', doc)}" for tool, doc in zip(tools, docs, strict=True))


def summary(tool: Tool) -> str:
    """What a tool does, in one line: its own `summary`, else the first line of its doc."""
    own = getattr(tool, "summary", None)
    text = own if isinstance(own, str) and own.strip() else tool.doc.strip().split("\n", 1)[0]
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LINE_CHARS else f"{line[:_MAX_LINE_CHARS]}..."


def _line(head: str, told: str) -> str:
    return f"{head}: {told}" if told else head


def _function(tool: Tool) -> str:
    head, doc = f"def {tool.name}{tool.signature}:", tool.doc.strip()
    if not doc:
        return f"{head} ..."
    end = "\n" if "\n" in doc else ""
    return head + "\n" + textwrap.indent(f'"""{doc}{end}"""', "    ")
