"""`%pip install` in cells, however it is spelled: asks the host, which installs where this session alone can read.

commands.py and files.py call it. Requests travel as calls of a tool named `%pip`; the host judges each name itself, and
refuses all where the user has not allowed it. What is here is only about words: which packages a line names, what is
told.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .guard import keep_builtins

__all__ = ["TOOL", "Packages", "UsageError", "split_install"]

keep_builtins(globals())

TOOL = "%pip"
"""No tool of a user's can have this name."""

Call = Callable[[str, Sequence[Any], Dict[str, Any]], Any]

NOT_ALLOWED = (
    "packages cannot be installed in this session: use what is there (`%pip list` names it), or tell the user, who can "
    "allow it with Interpreter(packages=\"allow\") or --allow-packages, or name some: packages=[...] or --package NAME")

_INSTALL = re.compile(r"\s*(?:sudo\s+)?(?:\S*python[\d.]*\s+-m\s+|uv\s+)?(?:pip[\d.]*|conda|mamba)\s+"
                      r"((?:un)?install)(?:\s+(.*)|\s*)$", re.S)
_REDIRECTION = re.compile(r"(?:\s+|^)(?:&>|[12]?>>?)\s*(?:&[12]|/dev/null)(?=\s|$)")
_IGNORED = frozenset("-q -qq -qqq --quiet -v --verbose -U --upgrade --user -y --yes --no-cache-dir --no-input "
                     "--prefer-binary --disable-pip-version-check --break-system-packages --no-warn-script-location "
                     "--system --root-user-action=ignore --only-binary=:all: --progress-bar=off".split())
_COMPARISON = re.compile(r"(?:[=~!<>]=|[<>,])")


class UsageError(Exception):
    """A magic that does not exist or was called wrongly."""

    __module__ = "builtins"     # a traceback names it without our path


class Packages:
    """What a session may install.

    Args:
        call: Calls a tool of the host; None where nothing can be installed.
    """

    def __init__(self, call: Optional[Call] = None):
        self._call = call

    def take_up(self, config: Dict[str, Any], call: Call) -> None:
        """In a worker that begins: the folder of the session's packages comes last on the path."""
        if config["modules"] not in sys.path:
            sys.path.append(config["modules"])
        if config["may_install"]:
            self._call = call

    def install(self, words: Sequence[str]) -> None:
        """`pip install WORDS`; raises UsageError where it does not come to that."""
        names = _named(words)
        if self._call is None:
            raise UsageError(NOT_ALLOWED)
        is_quiet = any(word in ("-q", "-qq", "-qqq", "--quiet") for word in words)
        self._call(TOOL, ["install", names], {})
        while True:
            answer = self._call(TOOL, ["more"], {})
            for line in [] if is_quiet else answer["lines"]:
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
            if answer["done"]:
                break
        if answer["error"]:
            raise UsageError("not installed: " + answer["error"])
        import importlib

        importlib.invalidate_caches()

    def uninstall(self) -> None:
        raise UsageError("packages are not uninstalled: those of a session go when it ends, and others are not its own")


def split_install(command: str) -> Optional[Tuple[str, List[str], str]]:
    """For a shell's command that begins with pip's `install` or `uninstall`: which, the words that follow, and the
    commands after it; None for any other."""
    first, rest = _first_command(command)
    found = _INSTALL.match(_REDIRECTION.sub("", first))
    return (found.group(1), words_of(found.group(2) or ""), rest) if found else None


def words_of(line: str) -> List[str]:
    """The words of a line as a shell reads them, with specifiers such as `einops >= 0.7` as one word."""
    import shlex

    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    joined: List[str] = []
    for word in words:
        is_more = _COMPARISON.match(word) or (joined and re.search(_COMPARISON.pattern + r"$", joined[-1]))
        if joined and is_more and not word.startswith("-"):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _named(words: Sequence[str]) -> List[str]:
    """The packages that words name, without options that change nothing here."""
    names = [word for word in words if word not in _IGNORED]
    options = [name for name in names if name.startswith("-")]
    if options:
        raise UsageError("%%pip install takes names of packages here, and not %s" % options[0][:100])
    if not names:
        raise UsageError("%pip install wants the name of a package")
    return names


def _first_command(text: str) -> Tuple[str, str]:
    """The first of a shell's commands, without what its output is piped to; and the ones after it."""
    quote, end = "", len(text)
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in ";|\n" or (char == "&" and text[at - 1:at] != ">" and text[at + 1:at + 2] != ">"):
            end = at
            break
    rest = text[end:]
    if rest.startswith("|") and not rest.startswith("||"):
        _, rest = _first_command(rest[1:])      # `| tail -1`: there is nothing to be cut
    elif rest.startswith("||"):
        rest = ""                               # what is to be done instead: a failure is an error here
    return text[:end], re.sub(r"^[;&\n\s]+", "", rest)
