"""`codeact doctor`: which walls this machine offers, what is missing, and how to get it.

Nothing is guessed that can be tried: each level is tried by opening a session at it and running a cell.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import sys
import textwrap
import time
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from codeact import __version__
from codeact.cli._advice import LANDLOCK, advice, container, landlock
from codeact.cli._flags import sentence
from codeact.cli._parser import Parser
from codeact.cli._session import in_flags

__all__ = ["HELP", "main"]

HELP = "say which walls this machine offers, and how to get what is missing"

OK, USAGE, UNAVAILABLE, INTERRUPTED = 0, 2, 3, 130

PRELOAD_SECONDS = 120.0
EXTRAS = {"openai": "openai", "rich": "terminal", "prompt_toolkit": "terminal", "fastapi": "serve", "uvicorn": "serve",
          "mcp": "mcp", "jupyter_client": "jupyter"}
"""Optional packages of the command line, and the extra each comes with."""

Report = dict[str, Any]


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns 0 when code can be run behind walls here, else 3."""
    parser = Parser(prog="codeact doctor", description=sentence(HELP))
    parser.add_argument("--python", metavar="PATH", help="ask for another Python that is to run the code")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    log = logging.getLogger("codeact")
    before, log.level = log.level, logging.CRITICAL + 1   # what it would warn of is in the table
    try:
        options = parser.parse_args(argv)
        python = shutil.which(os.path.expanduser(options.python or sys.executable or "python3"))
        if python is None:
            print(f"codeact doctor: --python {options.python}: there is no such program", file=sys.stderr)
            return USAGE
        from codeact.interpreter.settings import fault_of_python

        if fault := fault_of_python(os.path.abspath(python)):
            print(f"codeact doctor: {in_flags(fault)}", file=sys.stderr)
            return USAGE
        report = examine(os.path.abspath(python))
        print(json.dumps(report, indent=2) if options.json else "\n".join(_lines(report)), flush=True)
        return OK if report["auto"]["works"] else UNAVAILABLE
    except SystemExit as left:   # argparse
        return int(left.code or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    finally:
        log.level = before


def examine(python: str) -> Report:
    """Everything there is to say, as data; `python` is the absolute path of the one that runs the code."""
    system = {"kernel": f"{platform.system()} {platform.release()}", "machine": platform.machine(),
              "python": python, "user": _user(), "container": container(), "landlock": landlock()[0]}
    levels = [_try(number, name, says, python) for number, name, says in _levels()]
    for level in levels:
        level["advice"] = [] if level["works"] else list(advice(level["level"], str(level["reason"]), python))
    auto, modules = _auto(python)
    return {
        "codeact": __version__, "system": system, "levels": levels, "auto": auto, "modules": modules,
        "workspace": _workspace(python),
        "extras": {name: _version(name) for name in EXTRAS},
        "model": {"CODEACT_MODEL": os.environ.get("CODEACT_MODEL"), "OPENAI_BASE_URL": _base_url(),
                  "OPENAI_API_KEY is set": bool(os.environ.get("OPENAI_API_KEY"))}}


# The system -----------------------------------------------------------------------------------------------------------


def _user() -> str:
    uid = os.getuid() if hasattr(os, "getuid") else -1
    try:
        name = getpass.getuser()
    except (OSError, KeyError):   # a number without a name
        name = "?"
    return f"{name} (uid {uid})" + (": cells run under a number that nobody has" if uid == 0 else "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package) if find_spec(package) else None
    except (importlib.metadata.PackageNotFoundError, ValueError, ImportError):
        return None


def _base_url() -> str | None:
    """Without the name and password it may hold."""
    url = os.environ.get("OPENAI_BASE_URL")
    try:
        parts = urlsplit(url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if url else None
    except ValueError:
        return "not a URL"


# The walls ------------------------------------------------------------------------------------------------------------


def _levels() -> list[tuple[int, str, str]]:
    from codeact.interpreter.levels import LEVELS

    return [(level.number, level.name, level.says) for level in LEVELS.values() if level.number > 0]


def _try(number: int, name: str, says: str, python: str) -> Report:
    """Open a session at this level and run a cell."""
    report: Report = {"level": number, "name": name, "says": says, "works": False, "reason": None}
    try:
        from codeact.interpreter.interpreter import Interpreter

        began = time.perf_counter()
        with Interpreter(sandbox=number, python=python, imports=()) as interpreter:
            result = interpreter.run("1 + 1", timeout=30)
        report["first_result_ms"] = round((time.perf_counter() - began) * 1000, 1)
        report["works"] = result.error is None and result.value == {"text/plain": "2"}
        if not report["works"]:
            report["reason"] = f"a session opens, but 1 + 1 gives {result.text!r}"
    except Exception as error:   # whatever it is, it is what the user came to read
        report["reason"] = _words(error)
    return report


def _words(error: Exception) -> str:
    """An error without what the table says anyway."""
    text = re.sub(r"[.;]? ?`codeact doctor` says what.*", "", str(error)) or type(error).__name__
    text = re.sub(r"; use a Python and a workspace outside root's home.*", "", text)   # the advice says it
    text = "; ".join(dict.fromkeys(re.sub(r"level \d \([\w-]+\): ", "", text).split("; ")))
    return text if "Error" not in type(error).__name__ else f"{type(error).__name__}: {text}"


# What is taken without being asked ------------------------------------------------------------------------------------


def _auto(python: str) -> tuple[Report, Report]:
    """The level that is taken, and how the modules fare that every session is to have."""
    auto: Report = {"works": False, "level": None, "reason": None}
    modules: Report = {"seconds": None, "threads": None, "state": {}}
    try:
        from codeact.interpreter.interpreter import Interpreter
        from codeact.interpreter.supervisor import DEFAULT_IMPORTS, Settings, zygote_of

        began = time.perf_counter()
        with Interpreter(python=python) as interpreter:
            auto.update(works=interpreter.run("1 + 1", timeout=30).error is None, level=interpreter.level)
            zygote = zygote_of(Settings(python=python))
            if zygote is not None and zygote.preload_done.wait(PRELOAD_SECONDS):
                modules["seconds"] = round(time.perf_counter() - began, 2)
                modules["threads"] = zygote.preload_report.get("threads")
                modules["python"] = zygote.hello.get("python")
                modules["state"] = {name: _state(name, zygote.preload_report) for name in DEFAULT_IMPORTS}
    except Exception as error:
        auto.update(works=False, reason=_words(error))
    return auto, modules


def _workspace(python: str) -> Report:
    """How a folder of the user's is kept as it is until changes are applied."""
    import tempfile

    class Hidden(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reasons.append(record.getMessage())

    reasons: list[str] = []
    log, handler = logging.getLogger("codeact.interpreter"), Hidden()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.level, log.propagate = logging.INFO, False
    try:
        from codeact.interpreter.interpreter import Interpreter

        with tempfile.TemporaryDirectory() as folder, \
                Interpreter(python=python, workspace=folder, mode="copy", imports=()) as interpreter:
            layer = interpreter.layer
        told = [text.partition(" (")[2].partition("): it is copied")[0] for text in reasons if "it is copied" in text]
        return {"layer": layer, "reason": told[0] if told else None}
    except Exception as error:
        return {"layer": None, "reason": _words(error)}
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


def _state(name: str, report: Report) -> str:
    if name in report.get("imported", ()):
        return "ready"
    reason = report.get("failed", {}).get(name)
    if reason is None:
        return "starts a thread when imported, and is left to the cells" if report else "the import of all failed"
    missing = reason.startswith(f"ModuleNotFoundError: No module named '{name.partition('.')[0]}")
    return "not installed" if missing else f"failed: {reason}"


# The table ------------------------------------------------------------------------------------------------------------


def _lines(report: Report) -> list[str]:
    system, auto, model = report["system"], report["auto"], report["model"]
    inside = f", inside {system['container']}" if system["container"] else ""
    abi = system["landlock"]
    version = report["modules"].get("python")
    lines = [
        f"codeact {report['codeact']}", "", "System",
        f"  kernel      {system['kernel']}, {system['machine']}{inside}",
        f"  Python      {version + ', ' if version else ''}{system['python']}",
        f"  user        {system['user']}",
        f"  Landlock    {f'version {abi}: {LANDLOCK[min(abi, max(LANDLOCK))]}' if abi else 'none'}", "", "Walls"]
    told: set[str] = set()
    for level in report["levels"]:
        said = f"works, first result after {level['first_result_ms']:.0f} ms" if level["works"] else "not here"
        lines.append(f"  {level['level']}  {level['name']:<15}  {said} [{level['says']}]")
        for text in [] if level["works"] else [f"why: {level['reason']}", *level["advice"]]:
            if text not in told:
                lines += _wrapped(text if text.startswith("why: ") else f"get it: {text}")
            told.add(text)
    names = {level["level"]: level["name"] for level in report["levels"]}
    if auto["works"]:
        lines.append(f'  "auto" takes level {auto["level"]}, {names.get(auto["level"])}')
    else:
        lines += [f'  "auto" does not work: {auto["reason"]}',
                  "  --sandbox none runs code with no walls at all: it can do all that you can"]
    lines += ["", *_workspace_lines(report["workspace"])]
    lines += ["", *_module_lines(report["modules"], system["python"]), "", "Extras"]
    missing = "not installed: pip install 'codeact[{}]'"
    lines += [f"  {name:<16} {version or missing.format(EXTRAS[name])}"
              for name, version in report["extras"].items()]
    return [*lines, "", "Model",
            f"  CODEACT_MODEL    {model['CODEACT_MODEL'] or 'not set: give --model, as openai:gpt-5-mini'}",
            f"  OPENAI_BASE_URL  {model['OPENAI_BASE_URL'] or 'not set'}",
            f"  OPENAI_API_KEY   {'set' if model['OPENAI_API_KEY is set'] else 'not set'}"]


def _workspace_lines(report: Report) -> list[str]:
    says = {"overlay": "an overlay holds changes back until you apply them: no scan, no copy",
            "copy": f"is copied at the start of a session, as no overlay can be had: {report['reason']}",
            None: f"changes cannot be held back: {report['reason']}"}
    return ["Your folders (--workspace DIR)", f"  {says[report['layer']]}"]


def _wrapped(text: str) -> list[str]:
    """Broken into lines, save those that are indented: they are to be copied."""
    found: list[str] = []
    for line in text.split("\n"):
        found += ["  " + line] if line.startswith(" ") else textwrap.wrap(
            line, 100, initial_indent=" " * 5, subsequent_indent=" " * 7, break_long_words=False,
            break_on_hyphens=False)
    return found


def _module_lines(modules: Report, python: str) -> list[str]:
    if not modules["state"]:
        return ["Modules", "  not looked at, as no session opens or they take too long"]
    lines = [f"Modules  (imported once in {modules['seconds']} s, for all sessions; "
             f"{modules['threads'] or '?'} thread{'s' * (modules['threads'] != 1)} after it)"]
    lines += [f"  {name:<18} {state}" for name, state in modules["state"].items()]
    if "not installed" in modules["state"].values():
        install = "pip install 'codeact[science]'" if python == sys.executable else \
            f"{python} -m pip install numpy pandas matplotlib"
        lines.append(f"  get them: {install}")
    return lines
