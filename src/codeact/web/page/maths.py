r"""Formulas as they are printed: LaTeX in words becomes MathML, which browsers set without a script.

`words` has `lift` take the formulas out of a Markdown text before that is rendered, so that `_` and `\\` in them are
not read as Markdown's, and `put_back` set them into the HTML. Only elements and attributes of MathML Core's safe list
get through (<https://w3c.github.io/mathml-docs/mathml-safe-list>): no links, styles or classes of a formula's own.
What cannot be read is shown as it was written.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree.ElementTree import Element

__all__ = ["Lifted", "lift", "put_back", "typeset", "whole", "without_half_a_formula"]

MAX_CHARS = 4_000
"""Of one formula; a longer one is shown as it was written."""
MAX_CHARS_IN_ALL = 40_000
"""Of the formulas of one text: as many as are typeset in less than a second."""
_MAX_DEPTH = 200

_ENVIRONMENTS = "equation|align|alignat|gather|multline|eqnarray|split|aligned|gathered"
# No part looks at a character twice for each of many starts: what opens a formula is not within one
_PATTERN = re.compile(
    r"""
      (?P<fence>^(?P<indent>[ \t]*+)(?P<ticks>`{3,}+|~{3,}+)[^\n]*+\n
        (?:.*?(?P<end>^[ \t]*+(?P=ticks)[`~]*+[ \t]*+$)|.*\Z))
    | (?P<code>(?<!`)(?P<tick>`++)(?:(?!\n[ \t]*+\n).)+?(?<!`)(?P=tick)(?!`))
    | (?P<dollar>\\\$)
    | \$\$(?P<wide>(?:(?!\n[ \t]*+\n)[^$]|\\\$)+?)\$\$
    | \\\[(?P<square>(?:(?!\n[ \t]*+\n|\\\[).)+?)\\\]
    | \\\((?P<round>(?:(?!\n[ \t]*+\n|\\\().)+?)\\\)
    | (?P<begun>\\begin\{(?P<name>(?:ENVIRONMENTS)\*?)\}(?:(?!\\begin\{(?P=name)\}).)+?\\end\{(?P=name)\})
    | (?<![\w$\\])\$(?P<line>(?![\s$])(?:\\\$|(?!\n[ \t]*+\n)[^$])*?(?<![\s\\]))\$(?![\w$])
    | (?P<break><br[ ]?/?>)
    """.replace("ENVIRONMENTS", _ENVIRONMENTS),
    re.S | re.M | re.X,
)
_PRICE = re.compile(r"[\d.,]+(?:[kKmM]|bn)?[\s,;:)-]")
_WORD = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{3,}")

# What the converter has under another name, and what is for numbers that nobody refers to here
_RENAMED = {"align": "align*", "aligned": "align*", "alignedat": "align*", "split": "align*", "eqnarray": "align*",
            "gather": "matrix", "gathered": "matrix", "gather*": "matrix", "dcases": "cases", "equation*": "equation"}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
_NUMBERS = re.compile(r"\\(?:label|tag\*?)\{[^{}]*\}|\\(?:nonumber|notag)(?![A-Za-z])")

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_KEPT_OR_MARK = re.compile(
    f"""<(?P<tag>pre|code)\\b.*?</(?P=tag)>|<\\w(?:[^<>"]|"[^"]*+")*+>|{_MARK.pattern}""", re.S
)
_HALF = re.compile(
    r"(?:\$\$|\\\[|\\\(|\\begin\{)(?:(?!\n[ \t]*\n).)*\Z|(?<![\w$\\])\$(?![\s\d$])[^\n$]{0,60}\Z|\\\Z", re.S
)

_TAGS = {
    "math", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mprescripts", "mroot",
    "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder",
    "munderover", "mphantom",
}
_NAMES = {
    "displaystyle", "mathcolor", "mathsize", "scriptlevel", "linethickness", "form", "fence", "separator", "lspace",
    "rspace", "stretchy", "symmetric", "maxsize", "minsize", "largeop", "movablelimits", "width", "height", "depth",
    "voffset", "accent", "accentunder", "columnspan", "rowspan",
}
_VALUE = re.compile(r"[\w#.+\- %]{1,40}\Z")
_UPRIGHT = re.compile(r"&#x000[4-7][0-9A-F];\Z")
_ESCAPED = re.compile(r"\\([_&%#$])")
_CLASSES = {"left": "to-left", "right": "to-right"}


@dataclass
class Lifted:
    """A text without its formulas, and these: as written, and the MathML or what else stands for them."""

    text: str
    formulas: list[tuple[str, str]] = field(default_factory=list)


def lift(text: str) -> Lifted:
    """Take the formulas out of a Markdown text; a mark stands for each. Code and prices stay what they are.

    A block of code that is not ended yet is ended. `<br>`, which models write into tables, is a break.
    """
    lifted, spent = Lifted(""), 0

    def taken(found: re.Match[str]) -> str:
        nonlocal spent
        written = found[0]
        if found["fence"] or found["code"]:
            open_fence = found["fence"] and found["end"] is None
            return f"{written}\n{found['indent']}{found['ticks']}\n" if open_fence else written
        made: str | None = "<br>" if found["break"] else "$"
        if source := _source(found):
            if found["line"] and _is_money(source):
                return written
            spent += len(source)
            block = found["line"] is None and found["round"] is None
            made = typeset(source, block=block) if spent <= MAX_CHARS_IN_ALL else None
        lifted.formulas.append((written, html.escape(written) if made is None else made))
        return f"{_OPEN}{len(lifted.formulas) - 1}{_CLOSE}"

    lifted.text = _PATTERN.sub(taken, re.sub(f"[{_OPEN}{_CLOSE}]", "", text))
    return lifted


def put_back(rendered: str, lifted: Lifted) -> str:
    """The HTML that was made of a lifted text, with its formulas; in code and attributes they stand as written."""

    def written(found: re.Match[str]) -> str:
        return html.escape(lifted.formulas[int(found[1])][0])

    def put(found: re.Match[str]) -> str:
        return lifted.formulas[int(found[2])][1] if found[2] else _MARK.sub(written, found[0])

    return _KEPT_OR_MARK.sub(put, rendered) if lifted.formulas else rendered


def whole(text: str) -> str | None:
    """A text that is one formula, as `text/latex` is, on a line of its own; None if it is another text."""
    found = _PATTERN.fullmatch(text.strip())
    source = _source(found) if found else ""
    return typeset(source, block=True) if source else None


def without_half_a_formula(text: str) -> str:
    """A text that is being written, without a formula at its end that is not complete yet."""
    visible = _PATTERN.sub(lambda found: " " * len(found[0]), text[-MAX_CHARS:])
    half = _HALF.search(visible)
    return text if half is None else text[: len(text) - len(visible) + half.start()]


def _is_money(source: str) -> bool:
    """Whether what stands between two dollar signs is a price, and words up to the next one."""
    return bool(_PRICE.match(source) and _WORD.search(source)) and not any(sign in source for sign in "\\^_=")


def _source(found: re.Match[str]) -> str:
    return next(filter(None, found.group("begun", "wide", "square", "round", "line")), "")


@lru_cache(maxsize=2000)
def typeset(source: str, *, block: bool = False) -> str | None:
    """LaTeX as MathML; None if it is too long or cannot be read.

    Args:
        block: It stands on a line of its own.
    """
    from latex2mathml.converter import convert_to_element

    if not source.strip() or len(source) > MAX_CHARS:
        return None
    try:
        known = _ENVIRONMENT.sub(lambda found: f"\\{found[1]}{{{_RENAMED.get(found[2], found[2])}}}", source.strip())
        made = _safe(convert_to_element(_NUMBERS.sub("", known), display="block" if block else "inline"), 0)
    except Exception:  # it raises what it happens to: StopIteration, IndexError, ...
        return None
    if not block:
        return made
    wide = made.replace("<math", '<math display="block"', 1)
    return f'<span class="formula">{wide}</span>'


def _safe(element: Element, depth: int) -> str:
    """An element, spelled by us."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    given = dict(element.attrib)
    tag = element.tag if element.tag in _TAGS else "mrow"
    # The converter has entities in its texts, for signs and for upright letters
    raw = element.text or ""
    words = html.escape(_ESCAPED.sub(r"\1", html.unescape(raw)), quote=False)
    if words.strip().startswith("\\") and len(words.strip()) > 1 and tag == "mi":
        raise ValueError(f"{words} is not known")
    inside = words + "".join(_safe(child, depth + 1) for child in element)
    attributes = {name: value for name, value in given.items() if name in _NAMES and _VALUE.match(value)}
    if tag == "mi" and (_UPRIGHT.match(raw) or given.get("mathvariant") == "normal"):
        attributes["mathvariant"] = "normal"
    classes = [_CLASSES[one] for one in (given.get("columnalign", ""),) if one in _CLASSES]
    classes += ["boxed"] * (element.tag == "menclose" and "box" in given.get("notation", ""))
    classes += ["bold"] * ("bold" in given.get("mathvariant", ""))
    if classes:
        attributes["class"] = " ".join(classes)
    spelled = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{spelled}>{inside}</{tag}>"
