"""Whatever a kernel sends, the host ends a cell with an outcome: never an exception, a hang or an allocation without bound."""

import json
import os
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeact.interpreter.cell import CellRunner, Outcome
from codeact.interpreter.history import History
from codeact.interpreter.journal import HostAnswers, fingerprint
from codeact.interpreter.keeper import Keeper
from codeact.interpreter.limits import Limits
from codeact.interpreter.output import Failure
from codeact.interpreter.session import Running, Session
from codeact.interpreter.style import STYLES
from codeact.kernel.wire import Connection
from codeact.tools.calls import Calls
from codeact.tools.toolbox import Toolbox

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(["$bytes", "$tuple", "$dict", "$ndarray", "$frame", "text/plain", "image/png", "x"]) | st.text(max_size=5),
    inner, max_size=4), max_leaves=12)
headers = st.fixed_dictionaries(
    {"t": st.sampled_from(["done", "display", "call", "input", "checkpointed", "refused", "ready", "exit", "usage", ""])},
    optional=dict.fromkeys(("id", "n", "status", "value", "error", "pure", "seconds", "data", "tool", "arguments", "prompt", "hidden", "pid", "sizes", "reason", "memory_kb"), trees))


def frame(header: object, tail: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<II", len(text), len(tail)) + text + tail


frames = st.builds(frame, headers, st.binary(max_size=40))
streams = st.lists(frames | st.binary(max_size=60), max_size=6).map(b"".join)


def run_against(sent: bytes, printed: bytes, from_keeper: bytes) -> Outcome:
    """A cell on a worker that says `sent`, prints `printed` and hangs up, under a keeper that says `from_keeper`."""
    keeper, keeper_peer = socket.socketpair()
    control, peer = socket.socketpair()
    out, into = os.pipe()
    os.set_blocking(out, False)
    session = Session(Keeper(Connection(keeper), -1, level=0), None)
    session.config = {"workspace": "/", "nonce": "ab"}
    session.running = Running(Connection(control), out, 1)
    history = History(session, Limits(), None, network=False)
    runner = CellRunner(session, Limits(), lambda: 0, history.copies.take)
    try:
        keeper_peer.sendall(from_keeper)
        os.write(into, printed)
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        return runner.run({"t": "run", "n": 1, "code": "1"}, HostAnswers(Calls(Toolbox([])), lambda *_: "line"), seconds=5)
    finally:
        runner.close()
        session.running.close()
        session.keeper.connection.close()
        peer.close()
        keeper_peer.close()
        os.close(into)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams, st.binary(max_size=200), streams)
def test_random_frames_end_in_an_outcome(sent, printed, from_keeper):
    outcome = run_against(sent, printed, from_keeper)
    assert outcome.status in ("ok", "error", "died", "limit", "timeout", "interrupted")
    assert outcome.dead or outcome.status in ("ok", "error")
    assert fingerprint(outcome, "1")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=30) | st.sampled_from(
    [b"\0codeact:abe0\0", b"\0codeact:abo0\0", b"\0codeact:abd7\0", b"\0codeact:abx99\0", b"\0codeact:abd", b"\0code"]), max_size=12))
def test_forged_marks_spoil_only_the_text(parts):
    outcome = run_against(frame({"t": "done", "n": 1, "status": "ok", "value": None, "error": None, "pure": False}),
                          b"".join(parts), b"")
    assert outcome.status == "ok"
    assert sum(len(str(content)) for _, content in outcome.pieces) <= 30 * 12 + 200


@pytest.mark.parametrize("sent", [
    struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF),
    struct.pack("<II", 16 << 20, 512 << 20),
    frame([]), frame({"t": 5}), frame({"no": "type"}),
    b'\x08\0\0\0\0\0\0\0{"t":"x"',
    frame({"t": "display", "id": 1, "data": {"$bytes": 99}}),
    frame({"t": "display", "id": 1, "data": {"image/png": {"$bytes": 0}}, "sizes": [1 << 40]}),
    struct.pack("<II", 200_000, 0) + b"[" * 200_000,
    frame({"t": "checkpointed", "id": 1, "pid": 2}),
    frame({"t": "done", "error": {"name": 1, "message": [], "traceback": {"a": 1}, "chain": [[1], None, {"frames": 3}]}}),
], ids=range(11))
def test_frames_made_to_hurt_end_in_an_outcome(sent):
    outcome = run_against(sent, b"", b"")
    assert outcome.dead or outcome.status in ("ok", "error")


@pytest.mark.parametrize("name", sorted(STYLES))
@given(chain=st.lists(trees, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_style_trusts_the_error_a_kernel_describes(name, chain):
    assert isinstance(STYLES[name].render([Failure("E", "m", "E: m", tuple(chain))], number=1), str)
