"""A poisoned reply: the session writes what it likes on every socket it has inherited, and the host must stand it.

Each attack gets a session of its own; a second session must not notice, and the first must answer the next cell or say
plainly that it is gone.
"""

from __future__ import annotations

import os
import time

from .arena import Arena, Outcome, attack
from .looking import Meter

SOCKETS = """
import socket, stat, struct, threading, time
def sockets():
    for fd in range(3, 1024):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass
def pour(data, seconds=2.0):
    for fd in list(sockets()):
        view = memoryview(data)
        end = time.monotonic() + seconds
        while view and time.monotonic() < end:
            try:
                view = view[socket.socket(fileno=os.dup(fd)).send(view, socket.MSG_DONTWAIT):]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                break
def frame(header, tail=b''):
    return struct.pack('<II', len(header), len(tail)) + header + tail
"""


def own_kb() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def poison(arena: Arena, code: str, then: str = "") -> Outcome:
    """Pour something on the wire; look at the host, this session and another one."""
    arena.session.run("untouched = 41")
    n_fds = len(os.listdir("/proc/self/fd"))
    started = time.monotonic()
    ended = ""
    with Meter(own_kb) as meter, arena.fresh() as session:
        session.run("before = 1")
        for cell in (SOCKETS + code, "print('alive', before)"):
            try:
                ended = session.run(cell, timeout=30).stdout
            except Exception as error:
                if type(error).__name__ != "InterpreterGone":
                    return False, f"the host broke: {type(error).__name__}: {error}"
                ended = f"gone: {error}"
    seconds, grown = time.monotonic() - started, (meter.peak - meter.first) / 1024
    other = arena.session.run("print(untouched + 1)").stdout
    leaked = len(os.listdir("/proc/self/fd")) - n_fds
    stopped = "42" in other and grown < 300 and seconds < 80 and ("alive 1" in ended or ended.startswith("gone")) and leaked < 16
    return stopped, f"then {ended[-200:]!r}; {grown:.0f} MiB more, {leaked} descriptors more, {seconds:.1f} s; beside it {other!r}"


@attack(seconds=150)
def wire_garbage(arena: Arena) -> Outcome:
    """Random bytes."""
    return poison(arena, "pour(os.urandom(1 << 16))")


@attack(seconds=150)
def wire_huge_lengths(arena: Arena) -> Outcome:
    """Prefixes that announce four gigabytes."""
    return poison(arena, "pour(b'\\xff' * 8 + b'x' * 100)")


@attack(seconds=150)
def wire_largest_allowed(arena: Arena) -> Outcome:
    """A frame as large as the protocol allows, never finished."""
    return poison(arena, "pour(struct.pack('<II', 16, 512 << 20) + b'{\"t\": \"done\"}   ' + bytes(1 << 20))\ntime.sleep(1)")


@attack(seconds=150)
def wire_deep_json(arena: Arena) -> Outcome:
    """A header nested a hundred thousand deep, and a bundle nested as deep as headers may be."""
    return poison(arena, """
deep = b'[' * 100000 + b']' * 100000
pour(frame(b'{"t":"done","x":' + deep + b'}') + frame(b'{"t":"display","id":1,"data":' + b'{"$tuple":[' * 20 + b']}' * 20 + b'}'))
""")


@attack(seconds=150)
def wire_forged_frames(arena: Arena) -> Outcome:
    """Well-formed frames that lie: other types, missing fields, wrong kinds, numbers beyond reason."""
    return poison(arena, """
import itertools, json
kinds = ('done', 'display', 'call', 'input', 'ready', 'opened', 'checkpointed', 'refused', 'exit', 'usage', 'signalled', 'swept', 'spawned',
         'failed', 'kept', 'forked', 'tree', 'nonsense', '', 'reply')
things = (None, -1, 10**400, 1e308, 'x', [], {}, True, {'$tuple': [1]}, {'$ndarray': {'dtype': 'object', 'buffer': 0}}, {'$bytes': 99}, '../../etc')
frames = [json.dumps({'t': k}).encode() for k in kinds]
for kind, thing in itertools.product(kinds, things):
    frames.append(json.dumps({'t': kind, 'id': thing, 'pid': thing, 'status': thing, 'value': thing, 'data': thing, 'error': thing, 'n': thing,
        'name': thing, 'args': thing, 'kwargs': thing, 'memory_kb': thing, 'cpu_seconds': thing, 'pure': thing, 'sizes': thing,
        'prompt': thing, 'hidden': thing, 'cells': thing, 'fds': thing, 'reason': thing}).encode())
for each in frames[:1]:
    pour(frame(each))
for each in frames:
    pour(frame(each), 0.05)
""")


@attack(seconds=150)
def wire_lying_sizes(arena: Arena) -> Outcome:
    """Buffers whose sizes do not fit, and descriptors nobody asked for."""
    return poison(arena, """
for sizes in (b'[1,2,3]', b'[-1,5]', b'[4]', b'"x"', b'[1e400]', b'[' + b'0,' * 100000 + b'0]', b'[true,true,true,true]'):
    pour(frame(b'{"t":"done","value":{"$bytes":0},"sizes":' + sizes + b'}', b'abcd'), 0.2)
null = os.open('/dev/null', os.O_RDONLY)
for fd in list(sockets()):
    try:
        for _ in range(20):
            socket.send_fds(socket.socket(fileno=os.dup(fd)), [b'x'], [null] * 4)
    except OSError:
        pass
""")


@attack(seconds=150)
def wire_flood(arena: Arena) -> Outcome:
    """Display frames without end, from a thread that goes on after the cell."""
    return poison(arena, """
import json
data = frame(json.dumps({'t': 'display', 'id': 7, 'data': {'text/plain': 'x' * 100000}}).encode())
pour(data * 200, 3)
threading.Thread(target=lambda: [pour(data * 50, 0.2) for _ in range(20)], daemon=True).start()
""")


@attack(seconds=150)
def wire_taken_over(arena: Arena) -> Outcome:
    """Close the host's sockets, read its frames away, and answer in its place."""
    return poison(arena, """
def eat():
    for fd in list(sockets()):
        try:
            os.set_blocking(fd, True)
            while True: socket.socket(fileno=os.dup(fd)).recv(1 << 16)
        except OSError:
            pass
threading.Thread(target=eat, daemon=True).start()
time.sleep(0.2)
for fd in list(sockets()):
    os.close(fd)
""")


@attack(seconds=150)
def wire_from_a_child(arena: Arena) -> Outcome:
    """A child that outlives the cell, keeps copies of the sockets and speaks in the worker's name."""
    return poison(arena, """
copies = [os.dup(fd) for fd in sockets()]
if os.fork() == 0:
    os.setsid()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for fd in copies:
            try:
                os.write(fd, frame(b'{"t":"done","n":2,"status":"ok","value":null,"error":null,"pure":true}'))
            except OSError:
                pass
        time.sleep(0.05)
    os._exit(0)
""")


@attack(seconds=150)
def wire_lingering_socket(arena: Arena) -> Outcome:
    """Hand the host a TCP socket that holds up for minutes whoever closes it last."""
    return poison(arena, """
def pair():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]
try:
    one, other = pair()
except OSError:
    print('no sockets')
else:
    one.setblocking(False)
    try:
        while True: one.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 600))
    for fd in list(sockets()):
        try:
            if fd not in (one.fileno(), other.fileno()):
                socket.send_fds(socket.socket(fileno=os.dup(fd)), [frame(b'{"t":"nonsense"}')], [one.fileno(), other.fileno()])
        except OSError:
            pass
    one.close(), other.close()
os._exit(0)
""")
