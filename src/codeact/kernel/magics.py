"""Turns the lines of a cell that are not Python into Python: `%magic`, `!command`, `name?`, `%%cell magic`.

`Repl` calls `translate` only after the cell failed to parse as it is, so valid Python is never touched (`a %b` is
arithmetic), nor is anything inside strings or brackets. Line numbers stay. What the magics do is in commands.py.

    %cd /tmp          ->  get_ipython().run_line_magic('cd', '/tmp')
    files = !ls       ->  files = get_ipython().getoutput('ls')
    len?              ->  get_ipython().run_line_magic('pinfo', 'len')
    %%time + body     ->  get_ipython().run_cell_magic('time', '', body)
"""

from __future__ import annotations

import re
from typing import List, Optional

from .guard import keep_builtins

__all__ = ["translate"]

keep_builtins(globals())

_CELL_MAGIC = re.compile(r"\s*%%(\w+)([^\n]*)(?:\n|\Z)")
_LINE_MAGIC = re.compile(r"(\s*)%([A-Za-z_]\w*)(?:\s+(.*)|$)", re.S)
_COMMAND = re.compile(r"(\s*)(!!?)(.*)", re.S)
_ASSIGNMENT = re.compile(r"(\s*[A-Za-z_][\w.,\s\[\]'\"*()]*?=\s*)(?:!(?!=)(.+)|%([A-Za-z_]\w*)(?:\s+(.*)|$))", re.S)
_HELP_AFTER = re.compile(r"(\s*)([A-Za-z_%][\w.\[\]'\"]*)(\?\??)\s*(?:;\s*)?(?:#.*)?$")
_HELP_BEFORE = re.compile(r"(\s*)(\?\??)([A-Za-z_%][\w.\[\]'\"]*)\s*$")
_INSTALL = re.compile(r"(\s*)(?:python3?\s+-m\s+|uv\s+)?(pip3?|conda)\s+"
                      r"((?:install|uninstall|list|show|freeze)\b.*)$", re.S)
_PROMPT = re.compile(r"^(?:>>> ?|In \[\d*\]: ?)", re.M)
_CONTINUED_PROMPT = re.compile(r"^(?:>>> |>>>$|\.\.\. |\.\.\.$|In \[\d*\]: ?|   \.+: ?)", re.M)


def translate(code: str) -> Optional[str]:
    """The Python of a cell that uses a notebook's extras; None if it has none of them."""
    original = code
    code = _without_margin(code.lstrip("\ufeff"))
    found = _CELL_MAGIC.match(code)
    if found:
        return _cell_magic(code, found)
    lines = code.split("\n")
    out: List[str] = []
    state = _State()
    i = 0
    while i < len(lines):
        line, n = lines[i], 1
        if state.at_statement:
            call = _python_of(line)
            if call is not None:
                while line.endswith("\\") and i + n < len(lines):       # a long command goes on
                    line = line[:-1] + lines[i + n]
                    n += 1
                out.append(_python_of(line) or call)
                out.extend([""] * (n - 1))
                i += n
                continue
        state.feed(line)
        out.append(line)
        i += 1
    python = "\n".join(out)
    return None if python == original else python


def _without_margin(code: str) -> str:
    """Take off `>>> ` prompts, or the indentation of the first line that all others share."""
    if _PROMPT.match(code.lstrip()):
        return "\n".join(_CONTINUED_PROMPT.sub("", line.lstrip() if _PROMPT.match(line.lstrip()) else line)
                         for line in code.split("\n"))
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    margin = first[:len(first) - len(first.lstrip())]
    if not margin:
        return code
    return "\n".join(line[len(margin):] if line.startswith(margin) else line for line in lines)


def _cell_magic(code: str, found: "re.Match[str]") -> str:
    """The call for a cell magic, on the line of its first line."""
    above = code[:found.start(1) - 2].count("\n")
    return "%sget_ipython().run_cell_magic(%r, %r, %r)" % ("\n" * above, found.group(1), found.group(2).strip(),
                                                           code[found.end():])


def _python_of(line: str) -> Optional[str]:
    """The Python of one line that begins a statement; None if it is none of ours."""
    text = line.rstrip()
    found = _HELP_AFTER.match(text)
    if found:
        return _help(found.group(1), found.group(2), found.group(3))
    found = _HELP_BEFORE.match(text)
    if found:
        return _help(found.group(1), found.group(3), found.group(2))
    found = _LINE_MAGIC.match(text)
    if found:
        return "%sget_ipython().run_line_magic(%r, %r)" % (found.group(1), found.group(2), found.group(3) or "")
    found = _COMMAND.match(text)
    if found:
        call = "system" if found.group(2) == "!" else "getoutput"
        return "%sget_ipython().%s(%r)" % (found.group(1), call, found.group(3).strip())
    found = _ASSIGNMENT.match(text)
    if found:
        if found.group(2) is not None:
            return "%sget_ipython().getoutput(%r)" % (found.group(1), found.group(2).strip())
        return "%sget_ipython().run_line_magic(%r, %r)" % (found.group(1), found.group(3), found.group(4) or "")
    found = _INSTALL.match(text)
    if found:
        return "%sget_ipython().run_line_magic(%r, %r)" % (found.group(1), found.group(2).rstrip("3"), found.group(3))
    return None


def _help(margin: str, name: str, marks: str) -> str:
    return "%sget_ipython().run_line_magic(%r, %r)" % (margin, "pinfo2" if marks == "??" else "pinfo", name)


class _State:
    """Where a line ends: inside a string, inside brackets, after a backslash, or between statements."""

    def __init__(self) -> None:
        self._string = ""       # the quotes that end the string we are in
        self._depth = 0
        self._continued = False

    @property
    def at_statement(self) -> bool:
        return not self._string and self._depth == 0 and not self._continued

    def feed(self, line: str) -> None:
        at = 0
        self._continued = False
        while at < len(line):
            if self._string:
                at = self._end_of_string(line, at)
                continue
            char = line[at]
            if char == "#":
                return
            if char in "([{":
                self._depth += 1
            elif char in ")]}":
                self._depth = max(0, self._depth - 1)
            elif char in "\"'":
                self._string = char * 3 if line.startswith(char * 3, at) else char
                at += len(self._string)
                continue
            elif char == "\\" and at == len(line) - 1:
                self._continued = True
            at += 1
        if len(self._string) == 1:      # strings of one quote end with their line, unless a backslash carries them on
            if line.endswith("\\"):
                self._continued = True
            else:
                self._string = ""

    def _end_of_string(self, line: str, at: int) -> int:
        """The place after the string, or the end of the line."""
        while at < len(line):
            if line[at] == "\\":
                at += 2
            elif line.startswith(self._string, at):
                at += len(self._string)
                self._string = ""
                return at
            else:
                at += 1
        return at

