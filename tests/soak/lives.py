"""The life of a session, chosen by a seed: what it is made with, what is done in it, how it is killed.

`python lives.py SEED COUNT` lives so many at once and goes on until it is killed itself, which test_soak.py does.
"""

from __future__ import annotations

import faulthandler
import itertools
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from traces import processes

from codeact import Interpreter, Limits, tool
from codeact.errors import InterpreterError
from codeact.interpreter.keeper import pid_of
from codeact.interpreter.supervisor import zygote_of

STUCK_SECONDS = 60
"""A host to be killed lives for a second or two."""
MARKER = "31536.75"
"""How long the programs sleep that cells leave behind."""
CRASHES = ["import ctypes\nctypes.string_at(0)", "import os\nos._exit(3)",
           "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "import os\nos.abort()"]
LEFT = {
    "child": f"import subprocess\nkept = subprocess.Popen(['sleep', '{MARKER}'])",
    "daemon": f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.execvp('sleep', ['sleep', '{MARKER}'])\n"
              "    os._exit(0)\nos.wait()\n0",
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
    "deleted file": "import os\nheld = open('gone', 'wb')\nheld.write(b'x' * 100_000)\nos.remove('gone')",
    "tree": "import os\nos.makedirs('a/b/c/' + 'd/' * 20, exist_ok=True)\nopen('a/f', 'w').write('x')\nos.chmod('a/b', 0)",
}
FETCH = ("import urllib.request\ntry:\n    urllib.request.urlopen('http://elsewhere.invalid/', timeout=5)\n"
         "except OSError as error:\n    print(error)")
STUBBORN = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
KINDS = ["plain", "plain", "tools", "limits", "live", "copy", "kept", "network", "loaded", "preload", "other zygote", "no walls"]


@tool
def double(number: int) -> int:
    """Twice `number`."""
    return 2 * number


def nobody(event: object) -> None:
    """Watches output and does nothing."""


class Life:
    """One session with all its branches.

    Args:
        seed: Of everything that is chosen.
        place: A folder for its files, which it makes; removed by the caller.
    """

    def __init__(self, seed: str, place: Path):
        self.choose = random.Random(seed)
        self.place = place
        self.opened = 0
        """Sessions so far, branches and loaded ones included."""
        self.done: Counter[str] = Counter()
        self.family: list[Interpreter] = []
        self._numbers = itertools.count()
        self.kind = self.choose.choice(KINDS)
        place.mkdir(parents=True)
        place.chmod(0o777)

    # Opening ----------------------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        folder = self.place / "folder"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        (folder / "data.txt").write_text("mine")
        # A key of its own for the zygote that is going to be killed, so that others do not go on with another one
        imports = ("colorsys", f"kind_{self.choose.randrange(2)}") if self.kind == "other zygote" else ()
        return {"imports": imports, **{
            "tools": {"tools": [double]}, "limits": {"limits": Limits(memory_mb=self.choose.choice([400, 500]), checkpoints=1)},
            "live": {"workspace": folder}, "copy": {"workspace": folder, "mode": "copy"},
            "kept": {"workspace": folder, "mode": "copy", "keep_changes": True},
            "network": {"network": ["allowed.invalid"]}, "no walls": {"sandbox": 0},
        }.get(self.kind, {})}

    def open(self) -> None:
        """The first one."""
        if self.kind == "preload":
            self._fail_to_open()
        self.family.append(Interpreter(**self._options()))
        self.opened += 1
        if self.kind == "loaded":
            self._save_and_load()

    def _fail_to_open(self) -> None:
        helpers = self.place / "helpers.py"
        helpers.write_text("raise RuntimeError('no')" if self.choose.random() < 0.5 else "import os\nos._exit(3)")
        with suppress(ValueError, InterpreterError):
            Interpreter(preload=helpers, imports=())
        self.opened += 1

    # Deeds ------------------------------------------------------------------------------------------------------------

    def live(self, deeds: int) -> None:
        """Open, do so many things, close in any order."""
        try:
            self.open()
            for _ in range(deeds):
                self.do(self.choose.choice(DEEDS))
        finally:
            self.close()

    def do(self, deed: str) -> None:
        """One thing, to one of the family."""
        self.done[deed] += 1
        getattr(self, "_" + deed)()

    def close(self) -> None:
        """Close all in any order, one of them perhaps only by forgetting it."""
        self.choose.shuffle(self.family)
        while self.family:
            py = self.family.pop()
            if self.choose.random() < 0.9:
                py.close()
            del py

    @property
    def one(self) -> Interpreter:
        return self.choose.choice(self.family)

    def _work(self) -> None:
        py, number = self.one, next(self._numbers)
        result = py.run(f"x{number} = {number}\nopen('f{number}.txt', 'w').write('{number}')\nx{number} * 2")
        if result.error is None and result.status == "ok":
            assert f": {number * 2}" in result.text, result.text
        if self.kind == "tools":
            py.run("double(21)", on_output=nobody)
        if self.kind == "network":
            py.run(FETCH)

    def _crash(self) -> None:
        py = self.one
        py.run(f"before = {self.choose.randrange(9)}")
        py.run(self.choose.choice(CRASHES))
        py.run("before")

    def _leave(self) -> None:
        self.one.run(self.choose.choice(list(LEFT.values())))

    def _interrupt(self) -> None:
        py = self.one
        with later(self.choose.uniform(0, 0.1), py.interrupt):
            py.run("import time\ntime.sleep(0.15)", timeout=20)

    def _time_out(self) -> None:
        self.one.run(self.choose.choice([STUBBORN, "import time\ntime.sleep(9)", "while True: pass"]), timeout=0.05)

    def _mark(self) -> None:
        py = self.one
        mark = py.checkpoint(self.choose.choice([None, "a", "b"]))
        py.run("y = 1\nopen('y', 'w').close()")
        if self.choose.random() < 0.5:
            py.restore(mark)
        else:
            py.undo(self.choose.randrange(1, 4))

    def _reset(self) -> None:
        self.one.reset()

    def _branch(self) -> None:
        if len(self.family) < 5:
            with suppress(InterpreterError):   # a copy of the user's folder, and a thread runs
                self.family.append(self.one.branch())
                self.opened += 1

    def _close_one(self) -> None:
        if len(self.family) > 1:
            self.family.pop(self.choose.randrange(len(self.family))).close()

    def _save_and_load(self) -> None:
        if self.kind in ("live", "copy", "kept", "network"):
            return
        file = self.place / f"saved-{next(self._numbers)}.zip"
        self.one.save(file)
        options = self._options()
        self.opened += 1
        with Interpreter.load(file, **options) as py:
            py.run("z = 1")
            if self.choose.random() < 0.5:
                py.branch().close()
                self.opened += 1

    def _review(self) -> None:
        if self.kind not in ("copy", "kept"):
            return
        py = self.one
        with suppress(InterpreterError, ValueError):
            py.changes()
            py.apply() if self.choose.random() < 0.5 else py.discard()

    def _variables(self) -> None:
        self.one.variables()

    def _close_while_running(self) -> None:
        if len(self.family) > 1:
            py = self.family.pop(self.choose.randrange(len(self.family)))
            with later(self.choose.uniform(0.02, 0.1), py.close), suppress(InterpreterError):
                py.run("import time\ntime.sleep(0.5)")
            py.close()

    # Kills ------------------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        """One of the session's processes at any moment, while a cell runs or not."""
        py = self.one
        if py.level < 3:
            return
        blow: Callable[[], None] = {
            "inside": lambda: self._blow_inside(py), "keeper": lambda: self._blow_keeper(py),
            "zygote": self._blow_zygote,
        }[self.choose.choice(["inside", "inside", "keeper"] if self.kind != "other zygote" else ["inside", "keeper", "zygote", "zygote"])]
        if self.choose.random() < 0.3:
            blow()
        with later(self.choose.uniform(0, 0.1), blow):
            py.run("w = 1\nimport time\ntime.sleep(0.05)")
        py.run("2")

    def _blow_inside(self, py: Interpreter) -> None:
        """The worker, a frozen copy, or what a cell has left."""
        with suppress(OSError):
            keeper = pid_of(py._backend._session.keeper.pidfd)
            found = [pid for pid in processes() if pid != keeper and space_of(pid) == space_of(keeper) != ""]
            os.kill(random.choice(found), signal.SIGKILL) if found else None

    def _blow_keeper(self, py: Interpreter) -> None:
        with suppress(OSError, ValueError):
            signal.pidfd_send_signal(py._backend._session.keeper.pidfd, signal.SIGKILL)

    def _blow_zygote(self) -> None:
        """The one with everything imported, the bare one, or the one that waits for it outside its namespace."""
        zygote = zygote_of(self.family[0]._backend._settings) if self.family else None
        if zygote is None:
            return
        waiting = zygote.process.pid
        bare = children(waiting)
        preloaded = [pid for pid in children(*bare) if space_of(pid) == space_of(bare[0])]
        victims = random.choice([[waiting], bare, preloaded, preloaded])
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


DEEDS = ["work", "work", "work", "crash", "leave", "interrupt", "mark", "reset", "branch", "branch", "branch", "close_one",
         "save_and_load", "review", "variables", "close_while_running", "kill", "kill", "time_out"]


def children(*parents: int) -> list[int]:
    """Processes right below these."""
    return [pid for pid, (parent, _) in processes().items() if parent in parents]


def space_of(pid: int) -> str:
    """The pid namespace of a process; empty where it is gone."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


class later:
    """In a `with` block: call something after so many seconds, from another thread, and wait for it at the end."""

    def __init__(self, seconds: float, call: Callable[[], None]):
        self._timer = threading.Timer(seconds, call)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.join()


def main() -> None:
    """Hold sessions of all kinds until killed; a line for each one opened."""
    seed, count, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)   # where every thread hangs is an answer too

    def hold(number: int) -> None:
        while True:
            life = Life(f"{seed}-{number}-{time.monotonic()}", place / f"{number}-{time.monotonic_ns()}")
            life.open()
            os.write(1, b"opened\n")
            for _ in range(12):
                before = life.opened
                with suppress(InterpreterError):
                    life.do(life.choose.choice([deed for deed in DEEDS if deed != "time_out"]))
                os.write(1, b"opened\n" * (life.opened - before))
            life.close()

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    threads[0].join()


if __name__ == "__main__":
    main()
