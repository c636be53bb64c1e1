"""The magics about files and programs: `%cd`, `%env`, `%%writefile`, `%%bash`, `%run`, `%pip` and their kin.

commands.py inherits them. Programs run inside the same walls as the cell.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, List

from . import shell
from .guard import keep_builtins
from .packages import Packages, UsageError, words_of

__all__ = ["FileCommands", "UsageError"]

keep_builtins(globals())


class FileCommands:
    """One method a magic.

    Args:
        namespace: The session's variables.
    """

    def __init__(self, namespace: Dict[str, Any]):
        self.user_ns = namespace
        self.packages = Packages()
        self._oldpwd = ""

    def _variables(self) -> Dict[str, Any]:
        """What a cell's code sees where it calls us: the locals of its function over the session's variables."""
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_globals is not self.user_ns:
            frame = frame.f_back
        if frame is None or frame.f_locals is self.user_ns:
            return self.user_ns
        return {**self.user_ns, **frame.f_locals}

    def line_cd(self, line: str) -> None:
        """Change the working directory; `-` is the one before."""
        target = line.strip().strip("'\"") or "~"
        if target == "-":
            target = self._oldpwd or "."
        before = os.getcwd()
        os.chdir(os.path.expanduser(target))
        self._oldpwd = before
        sys.stdout.write(os.getcwd() + "\n")

    def line_pwd(self, line: str) -> str:
        return os.getcwd()

    def line_env(self, line: str) -> Any:
        """All variables, one, or `NAME=value` / `NAME value` to set one."""
        line = line.strip()
        if not line:
            return dict(os.environ)
        for mark in ("=", " "):
            if mark in line:
                name, value = line.split(mark, 1)
                os.environ[name.strip()] = value.strip()
                sys.stdout.write("env: %s=%s\n" % (name.strip(), value.strip()))
                return None
        if line not in os.environ:
            raise UsageError("no environment variable %s" % line)
        return os.environ[line]

    line_set_env = line_env

    def cell_writefile(self, line: str, body: str) -> None:
        """Write the cell to a file; `-a` appends."""
        words = shell.expand(line, self._variables()).split()
        append = "-a" in words or "--append" in words
        names = [word for word in words if word not in ("-a", "--append")]
        if len(names) != 1:
            raise UsageError("%%writefile wants one file name")
        name = os.path.expanduser(names[0].strip("'\""))
        said = "Appending to" if append else "Overwriting" if os.path.exists(name) else "Writing"
        with open(name, "a" if append else "w", encoding="utf-8") as file:
            file.write(body)
        sys.stdout.write("%s %s\n" % (said, names[0]))

    cell_file = cell_writefile

    def cell_bash(self, line: str, body: str) -> None:
        self._script(["/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"], body)

    def cell_sh(self, line: str, body: str) -> None:
        self._script(["/bin/sh"], body)

    def cell_script(self, line: str, body: str) -> None:
        if not line.split():
            raise UsageError("%%script wants a program")
        self._script(line.split(), body)

    def cell_python(self, line: str, body: str) -> None:
        """Run the cell in a Python of its own."""
        self._script([sys.executable or "python3", "-"], body)

    cell_python3 = cell_python

    def _script(self, interpreter: List[str], body: str) -> None:
        status = shell.run("", interpreter=interpreter, stdin=body)
        if status:
            import subprocess

            raise subprocess.CalledProcessError(status, interpreter)

    def line_run(self, line: str) -> None:
        """Run a Python file in this session, as `__main__`, with its arguments."""
        import shlex

        words = [word for word in shlex.split(line) if word not in ("-i", "-t")]
        if not words:
            raise UsageError("%run wants a file name")
        name = words[0] if os.path.exists(words[0]) or words[0].endswith(".py") else words[0] + ".py"
        with open(name, encoding="utf-8") as file:
            text = file.read()
        before = sys.argv
        sys.argv = [name] + words[1:]
        try:
            exec(compile(text, name, "exec", dont_inherit=True), self.user_ns)
        finally:
            sys.argv = before

    def line_pip(self, line: str) -> Any:
        """Install packages for this session, where the user allows it; list and show what is installed."""
        words = words_of(line)
        if words[:1] == ["pip"]:    # %uv pip install
            words = words[1:]
        if words[:1] == ["install"]:
            return self.packages.install(words[1:])
        if words[:1] == ["uninstall"]:
            return self.packages.uninstall()
        if words[:1] in (["list"], ["freeze"], ["show"], ["check"], ["--version"]):
            return self._script([sys.executable or "python3", "-m", "pip"] + words, "")
        raise UsageError("%pip knows install, list, show, freeze and check here")

    line_conda = line_mamba = line_uv = line_pip
