"""`codeact eval SUITE`: tasks with known answers, put to any model in any format; `report`, `compare`, `resume`.

The verbs below it stand in files of their own: `_eval_run.py`, `_eval_report.py`, `_eval_compare.py`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from codeact.cli._exit import USAGE, fail, guarded

__all__ = ["HELP", "main"]

HELP = "measure a model on a suite of tasks, in several action formats"

_HELP = """\
usage: codeact eval SUITE --model MODEL [--format code,json,text] ...
       codeact eval resume RUN
       codeact eval report RUN [RUN ...] [--html FILE]
       codeact eval compare A B
       codeact eval list

Put the tasks of a suite to a model, in one action format or several, and say what came of it.

  codeact eval toolforge --model openai:gpt-5-mini --format code,json,text --n 40
  codeact eval m3tooleval --model openai:gpt-5-mini --format code,json,text --repeats 3 -j 16
  codeact eval m3tooleval --model openai:my-model --base-url http://localhost:8000/v1 -j 32 --max-cost 5
  codeact eval resume runs/2026-11-28-103000-toolforge     after Ctrl-C, a crash, or a limit: only what is left is done
  codeact eval report runs/2026-11-28-103000-toolforge --html report.html

suites:
{suites}
`codeact eval SUITE --help` has the flags.
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    word, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if word in ("--help", "-h"):
        print(_HELP.format(suites=_listed(indent="  ")), end="")
        return 0 if argv else USAGE
    if word in ("report", "compare"):
        run: Callable[[Sequence[str]], int] = importlib.import_module(f"codeact.cli._eval_{word}").main
        return guarded(lambda: run(rest))
    from codeact.cli import _eval_run

    if word == "resume":
        return guarded(lambda: _eval_run.resume(rest))
    if word == "list":
        print(_listed())
        return 0
    if word.startswith("-"):
        return fail(f"name the suite first, as in `codeact eval toolforge {word} ...`; suites: {', '.join(_suites())}",
                    USAGE)
    return guarded(lambda: _eval_run.main(word, rest))


def _suites() -> list[str]:
    from codeact import plugins

    return plugins.available("suites")


def _listed(indent: str = "") -> str:
    """The suites with what each is: the first line of its file."""
    from codeact import plugins

    names = _suites()
    width = max(map(len, names))
    heads = ((plugins.load("suites", name).__doc__ or "").partition("\n")[0].rstrip(".") for name in names)
    return "\n".join(f"{indent}{name:<{width}}  {head}" for name, head in zip(names, heads, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
