"""What magics do: the object that `get_ipython()` returns in a cell, one method a magic.

magics.py translates `%name text` to `get_ipython().run_line_magic("name", "text")`. A magic that is unknown, or makes
no sense in a session without terminal and network, is an error that says so. To add one, add a method `line_NAME` or
`cell_NAME`; those about files and programs are in files.py.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional

from . import shell
from .display import Displayer
from .files import FileCommands, UsageError
from .guard import keep_builtins
from .packages import split_install

__all__ = ["Commands"]

keep_builtins(globals())

Execute = Callable[[str], Any]

_NOTHING_TO_DO = frozenset("load_ext reload_ext unload_ext autoreload config colors xmode precision automagic pdb page "
                           "pprint logstart logstop autosave aimport".split())
_PROGRAMS = frozenset("ls ll cat mkdir rmdir rm cp mv head tail wc touch grep less more man".split())


class Commands(FileCommands):
    """The notebook's extras of one session.

    Args:
        namespace: The session's variables.
        execute: Runs Python text as a part of the running cell and returns the value of its last expression.
        display: The session's display function.
        hidden: Names in the namespace that are not the user's.
    """

    def __init__(self, namespace: Dict[str, Any], execute: Execute, display: Displayer, hidden: List[str]):
        super().__init__(namespace)
        self._execute, self._display, self._hidden = execute, display, hidden

    def __repr__(self) -> str:
        return "<get_ipython() of this session>"

    # What translated lines call -------------------------------------------------------------------------------------

    def run_line_magic(self, name: str, line: str = "") -> Any:
        method = getattr(self, "line_" + name, None)
        if method is not None:
            raw = name in ("time", "timeit", "pinfo", "pinfo2", "who", "whos")
            return method(line if raw else shell.expand(line, self._variables()))
        if name in _NOTHING_TO_DO:
            return None
        if name in _PROGRAMS:
            return self._program("%s %s" % (name, line))
        if hasattr(self, "cell_" + name):
            raise UsageError("%%%s stands on a cell's first line, with two %% signs" % name)
        raise UsageError("there is no magic %%%s; available: %s" % (name, ", ".join(self._names("line_"))))

    def run_cell_magic(self, name: str, line: str, body: str) -> Any:
        method = getattr(self, "cell_" + name, None)
        if method is None:
            raise UsageError("there is no cell magic %%%%%s; available: %s" % (name, ", ".join(self._names("cell_"))))
        return method(line, body)

    magic = run_line_magic

    def system(self, command: str) -> None:
        """`!command`"""
        command = shell.expand(command, self._variables())
        install = split_install(command)
        if install is not None:
            verb, words, command = install
            self.packages.install(words) if verb == "install" else self.packages.uninstall()
            self.user_ns["_exit_code"] = 0
            if not command:
                return
        self.user_ns["_exit_code"] = shell.run(command)

    def getoutput(self, command: str) -> shell.Lines:
        """`x = !command`"""
        return shell.capture(shell.expand(command, self._variables()))

    def _program(self, command: str) -> None:
        self.system(command.strip())

    def _names(self, kind: str) -> List[str]:
        mark = "%" if kind == "line_" else "%%"
        return sorted(mark + name[5:] for name in dir(self) if name.startswith(kind))

    # Time -----------------------------------------------------------------------------------------------------------

    def line_time(self, line: str) -> Any:
        """Run a statement and say what it took; its value is the line's value."""
        from .timing import Stopwatch

        with Stopwatch() as watch:
            value = self._execute(line)
        sys.stdout.write(watch.report())
        return value

    def cell_time(self, line: str, body: str) -> Any:
        return self.line_time(line + "\n" + body)

    def line_timeit(self, line: str, body: Optional[str] = None) -> None:
        """Run a statement many times: `%timeit [-n LOOPS] [-r RUNS] statement`."""
        from .timing import measure

        options: Dict[str, int] = {}
        words = line.split(" ")
        while words and words[0][:2] in ("-n", "-r", "-q", "-o", "-p", "-t", "-c"):
            flag = words.pop(0)
            if flag[:2] in ("-n", "-r"):
                number = flag[2:] or (words.pop(0) if words else "")
                if not number.isdigit() or int(number) < 1:
                    raise UsageError("%%timeit %s wants a number" % flag[:2])
                options[flag[1]] = int(number)
        statement = " ".join(words)
        setup = "pass"
        if body is not None:
            statement, setup = body, statement or "pass"
        if not statement.strip():
            raise UsageError("%timeit wants a statement")
        sys.stdout.write(measure(statement, setup, self.user_ns, loops=options.get("n"), repeat=options.get("r", 7)))

    def cell_timeit(self, line: str, body: str) -> None:
        self.line_timeit(line, body)

    # The session ----------------------------------------------------------------------------------------------------

    def line_who(self, line: str) -> None:
        """The names of the session's variables, or those of the given types."""
        names = self._own_names(line)
        sys.stdout.write(("\t ".join(names) if names else "No variables yet.") + "\n")

    def line_whos(self, line: str) -> None:
        """Names, types and values."""
        rows = [("Variable", "Type", "Data/Info")]
        for name in self._own_names(line):
            value = self.user_ns[name]
            size = getattr(value, "shape", None)
            text = str(size) if isinstance(size, tuple) else " ".join(repr(value).split())
            rows.append((name, type(value).__name__, text[:60]))
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        for row in rows:
            sys.stdout.write("%-*s   %-*s   %s\n" % (widths[0], row[0], widths[1], row[1], row[2]))

    def line_who_ls(self, line: str) -> List[str]:
        return self._own_names(line)

    def _own_names(self, types: str) -> List[str]:
        wanted = types.split()
        return sorted(name for name, value in self.user_ns.items()
                      if not name.startswith("_") and name not in self._hidden
                      and (not wanted or type(value).__name__ in wanted))

    def line_reset(self, line: str) -> None:
        """Forget all variables."""
        for name in self._own_names(""):
            del self.user_ns[name]

    def line_matplotlib(self, line: str) -> None:
        """Figures are shown without it; the back-end stays the one that draws into memory."""

    def line_pylab(self, line: str) -> None:
        self._execute("import numpy\nimport numpy as np\nimport matplotlib.pyplot as plt\nfrom pylab import *\n")

    def line_lsmagic(self, line: str) -> None:
        sys.stdout.write(" ".join(self._names("line_")) + "\n" + " ".join(self._names("cell_")) + "\n")

    def line_debug(self, line: str) -> None:
        raise UsageError("no debugger here: a session has no terminal; print what you want to see")

    def line_pinfo(self, line: str, source: bool = False) -> None:
        """`name?`: what an object is."""
        from .help import describe

        name = line.strip()
        if name.startswith("%"):
            method = getattr(self, "line_" + name.strip("%"), None) or getattr(self, "cell_" + name.strip("%"), None)
            sys.stdout.write("%s\n" % (getattr(method, "__doc__", None) or "No magic %s." % name))
            return
        try:
            value = eval(name, self._variables())
        except Exception:
            sys.stdout.write("Object `%s` not found.\n" % name)
            return
        sys.stdout.write(describe(name, value, source=source))

    def line_pinfo2(self, line: str) -> None:
        """`name??`: what an object is, with its source."""
        self.line_pinfo(line, source=True)

    # Output ---------------------------------------------------------------------------------------------------------

    def cell_capture(self, line: str, body: str) -> None:
        """Run the cell with its prints kept, under the given name, instead of shown."""
        import io

        kept = io.StringIO(), io.StringIO()
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = kept
        try:
            self._execute("\n" + body)
        finally:
            sys.stdout, sys.stderr = before
        names = [word for word in line.split() if not word.startswith("-")]
        if names:
            self.user_ns[names[0]] = Captured(kept[0].getvalue(), kept[1].getvalue())

    def cell_html(self, line: str, body: str) -> None:
        self._show("text/html", body)

    def cell_markdown(self, line: str, body: str) -> None:
        self._show("text/markdown", body)

    def cell_latex(self, line: str, body: str) -> None:
        self._show("text/latex", body)

    def cell_svg(self, line: str, body: str) -> None:
        self._show("image/svg+xml", body)

    def cell_javascript(self, line: str, body: str) -> None:
        self._show("application/javascript", body)

    cell_js = cell_javascript

    def _show(self, mime: str, text: str) -> None:
        self._display({mime: text, "text/plain": text}, raw=True)


class Captured:
    """What `%%capture name` keeps: `.stdout`, `.stderr`; called, it shows them."""

    def __init__(self, stdout: str, stderr: str):
        self.stdout, self.stderr = stdout, stderr

    def __str__(self) -> str:
        return self.stdout

    def show(self) -> None:
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)

    __call__ = show
