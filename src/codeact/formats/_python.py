"""Python inside the marks of an action: telling it from other text, and mending what chat does to code.

Code that parses is never touched. Code that does not is changed only in ways that leave its meaning clear (smart
quotes, XML entities, Markdown's backslashes, a fence without a partner), and only if it parses afterwards; otherwise it
is run as it stands, so that the model sees the real error.
"""

import ast
import html
import json
import re
import textwrap
import warnings

from codeact.formats._blocks import Content
from codeact.formats._markdown import fences, unfenced

__all__ = ["PYTHON", "code_in_json", "mended", "parses", "plain_quotes"]

_LABELS = {"python", "py", "python3", "ipython", "ipython3", "tool_code"}
_MAX_PARSED_CHARS = 200_000
"""A parser takes a hundred times the memory of its text; longer code is run as it stands."""
_MAGIC = re.compile(r"^([ \t]*)(?:[%!]|[\w, ]{1,40}=[ \t]*[%!]).*$", re.M)
_LABEL_LINE = re.compile(r"\A\s*(?:python3?|py)[ \t]*\n", re.I)
"""The language of a fence whose backticks were forgotten."""
_NAMES_OF_CODE = ("code", "python", "python_code")
_QUOTE = {"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'", "\u201a": "'"}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff")) | {0xA0: " ", 0x202F: " "}


def parses(code: str) -> bool:
    """Whether it is a cell: Python, with `await` and lines of magics."""
    if len(code) > _MAX_PARSED_CHARS:
        return False
    if code.lstrip().startswith("%%"):
        return True
    if "%" in code or "!" in code:
        code = _MAGIC.sub(r"\1pass", code)
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(code, "<reply>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def mended(code: str) -> str:
    """The code, with what chat did to it undone where it does not parse as it stands and does afterwards."""
    if len(code) > _MAX_PARSED_CHARS or parses(code):
        return code
    every = code
    for mend in _MENDS:
        for tried in (mend(code), every := mend(every)):
            if tried != code and parses(tried):
                return tried
    return code


def code_in_json(text: str) -> str | None:
    """The code in `{"code": "..."}`, as models trained on tool calls write it; None if the text is not that."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")) or not any(f'"{name}"' in text for name in _NAMES_OF_CODE):
        return None
    try:
        read = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    for nested in ("arguments", "parameters", "input", "args"):
        if isinstance(read.get(nested), dict) and set(read) <= {nested, "name", "tool", "type", "id"}:
            read = read[nested]
            break
    named = [key for key in _NAMES_OF_CODE if key in read]
    if len(named) != 1 or set(read) - {named[0], "language", "thought"} or not isinstance(read[named[0]], str):
        return None
    return str(read[named[0]])


def _clean(body: str) -> str:
    """Code as it stands between tags: without a fence around it, or the indentation of the whole."""
    body = unfenced(body)
    if (code := code_in_json(body)) is not None:
        body = code
    body = _LABEL_LINE.sub("", body)
    dedented = _dedented(body)
    # Code that begins right after its tag has no indentation of the whole.
    return dedented if not dedented[:1].isspace() else body.strip()


def _dedented(lines: str) -> str:
    return textwrap.dedent(lines).strip("\n").rstrip()


def _claims(label: str, body: str) -> bool:
    if label == "json":
        return code_in_json(body) is not None
    if label:
        return label in _LABELS
    # A bare number, word or quotation is more likely something shown than something to run.
    if code_in_json(body) is not None:
        return True
    return re.search(r"[(=]|\bimport\b", body) is not None and parses(_dedented(body))


def _is_bare(text: str) -> bool:
    return code_in_json(text) is not None


def _complete(code: str) -> bool:
    return parses(mended(code))


PYTHON = Content("code", "python", _claims, _clean, _complete, _is_bare, joins=True)


def _visible(code: str) -> str:
    return code.translate(_INVISIBLE)


def _without_underscores(code: str) -> str:
    r"""Undo Markdown's escape of underscores alone, as in `my\_name`; regular expressions stay as they are."""
    return code.replace("\\_", "_")


def _without_escapes(code: str) -> str:
    r"""Undo more of Markdown's escapes, as in `a \* 2`."""
    return re.sub(r"\\([_*\[\]#<>])", r"\1", code)


def _without_fences(code: str) -> str:
    """The fenced parts of a body that has words around them."""
    inner = [_dedented(fence.body) for fence in fences(code) if fence.label in _LABELS]
    return "\n".join(inner) if inner else code


_TOKEN = re.compile(r'"""|\'\'\'|"|\'|#[^\n]*|[\u201c\u201d\u201e\u2018\u2019\u201a]')


def plain_quotes(code: str) -> str:
    """Smart quotes that stand for quotes of code become those; what stands in a string or a comment stays."""
    pieces, position = [], 0
    while found := _TOKEN.search(code, position):
        pieces.append(code[position : found.start()])
        mark = found[0]
        position = found.end()
        if mark.startswith("#"):
            pieces.append(mark)
            continue
        plain = _QUOTE.get(mark)
        end = _end_of_smart(code, position, plain) if plain else _end_of_string(code, position, mark)
        body = code[position:end]
        if plain:
            pieces.append(plain + body.replace(plain, "\\" + plain) + (plain if end < len(code) else ""))
            position = end + 1
        else:
            pieces.append(mark + body + code[end : end + len(mark)])
            position = end + len(mark)
    return "".join([*pieces, code[position:]])


def _end_of_string(code: str, start: int, mark: str) -> int:
    """Where a string of plain quotes ends; the end of its line if it does not."""
    while start < len(code):
        if code[start] == "\\":
            start += 2
        elif code.startswith(mark, start) or (len(mark) == 1 and code[start] == "\n"):
            return start
        else:
            start += 1
    return len(code)


def _end_of_smart(code: str, start: int, plain: str) -> int:
    """Where a string of smart quotes ends: at a quote of its kind that is no apostrophe, on the same line."""
    line_end = code.find("\n", start)
    line_end = len(code) if line_end < 0 else line_end
    for place in range(start, line_end):
        if _QUOTE.get(code[place]) == plain and not code[place + 1 : place + 2].isalnum():
            return place
    return line_end


_MENDS = (_visible, html.unescape, plain_quotes, _without_underscores, _without_escapes, _without_fences)
"""What `mended` tries, each alone and after those before it."""
