"""Runs a piece of Python in a process of its own behind chosen walls, for the tests of those walls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SRC = str(Path(__file__).parents[2] / "src")

SYSTEM = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", sys.prefix, sys.base_prefix, SRC]
"""What a Python needs to run."""

PREAMBLE = """
import ctypes, errno, json, os, signal, socket, sys
from codeact.kernel.walls import landlock, rlimits, seccomp
settings = json.loads(sys.argv[1])
result = {}

def outcome(function, *args, **kwargs):
    '''None, or the name of the error.'''
    try:
        function(*args, **kwargs)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def call(name, *args):
    '''A raw system call: None, or the name of the error.'''
    from codeact.kernel.walls.libc import MACHINE, syscall
    from codeact.kernel.walls.syscalls import number
    return outcome(syscall, name, number(MACHINE, name), *args)

if settings["abi"]:
    landlock.restrict(settings["read"], settings["write"], abi_cap=settings["abi"])
if settings["level"]:
    policy = seccomp.Policy.of(level=settings["level"], abi=settings["abi"], network=False, own_pid=os.getpid())
    seccomp.install(seccomp.build(os.uname().machine, policy))
"""


def run(body: str, *, level: int = 0, abi: int = 0, read: Sequence[str] = SYSTEM, write: Sequence[str] = (),
        values: dict[str, object] | None = None, preamble: str = PREAMBLE) -> dict[str, object]:
    """The dict `result` that `body` has filled in. `level` 0: no filter; `abi` 0: no Landlock."""
    settings = {"level": level, "abi": abi, "read": list(read), "write": list(map(str, write)), **(values or {})}
    code = preamble + "\n" + body + "\nprint('RESULT ' + json.dumps(result), flush=True)\n"
    done = subprocess.run([sys.executable, "-c", code, json.dumps(settings)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": SRC}, stdin=subprocess.DEVNULL)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"ended with {done.returncode}: {done.stderr}"
    return json.loads(lines[-1][7:])
