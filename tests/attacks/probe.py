"""Attacks a session of a given level and says, from the host's side, what was stopped.

A plain script: the standard library and codeact alone, so that it also runs as another user under another Python:

    PYTHONPATH=src python3 tests/attacks/probe.py --level 3 [ATTACK...]

It prints one JSON line per attack: {"attack", "stopped", "detail", "seconds"}. It attacks nothing but what it has made
itself: temporary files, listeners on loopback, its own processes; all bounded in number and time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time


def main() -> int:
    from suite import ATTACKS, Arena
    from suite.arena import answer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", type=int, default=3, choices=(0, 1, 2, 3))
    parser.add_argument("--list", action="store_true", help="names of the attacks, and no attack")
    parser.add_argument("--victim", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("attacks", nargs="*", help="which ones; default all")
    options = parser.parse_args()
    if options.list:
        print("\n".join(ATTACKS))
        return 0
    if options.victim:
        return victim(options.level)
    chosen = [ATTACKS[name] for name in options.attacks or ATTACKS]
    arena = Arena(options.level)
    print(json.dumps({"probe": sys.version.split()[0], "uid": os.getuid(), "session_uid": arena.uid,
                      "level": arena.session.level}), flush=True)
    open_holes = 0
    try:
        for attack in chosen:
            line = answer(arena, attack)
            open_holes += not line["stopped"] and options.level in attack.levels
            print(json.dumps(line), flush=True)
    finally:
        arena.close()
    return 1 if open_holes else 0


def victim(level: int) -> int:
    """A supervisor to be killed: opens a session, leaves processes in it, says so, waits."""
    from codeact import Interpreter

    py = Interpreter(sandbox=level, imports=())
    py.run("""
import os, signal, time
reader, writer = os.pipe()
for number in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.write(writer, b'x')
        time.sleep(300)
        os._exit(0)
ready = b''
while len(ready) < 3:
    ready += os.read(reader, 3)
""")
    print("ready", flush=True)
    py.run("while True: pass", timeout=300)
    time.sleep(300)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
