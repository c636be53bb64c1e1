"""Calls out of a kernel: judged, approved, run beside one another, answered once, never raised."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from codeact.kernel import stubs
from codeact.tools import background, calls
from codeact.tools.calls import Calls
from codeact.tools.tool import Tool, tool
from codeact.tools.toolbox import Toolbox

WAIT = 20


class Point(BaseModel):
    x: int


@dataclasses.dataclass
class Pair:
    left: int
    right: Point


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def later(n: int) -> int:
    await asyncio.sleep(0)
    return n


@tool(needs_approval=True)
def wipe(path: str, force: bool = False) -> str:
    ran.append(path)
    return "wiped " + path


ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear()
    yield
    gc.collect()  # a coroutine left without await would warn now


class Kernel:
    """The other side: asks, and waits for answers."""

    def __init__(self, *tools, approve=None):
        self.calls = Calls(Toolbox(tools), approve)
        self.replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, name: str, *args: Any, call_id: int = 1, **kwargs: Any) -> None:
        header, buffers = stubs.request(name, args, kwargs)
        self.calls.start(call_id, {**header, "id": call_id}, buffers, lambda *reply: self.replies.put(reply))

    def reply(self) -> dict[str, Any]:
        return self.replies.get(timeout=WAIT)[0]

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.send(name, *args, **kwargs)
        return stubs.answer(*self.replies.get(timeout=WAIT))


def test_a_call_is_answered_with_its_id_and_value():
    kernel = Kernel(add)
    kernel.send("add", "2", b=3, call_id=17)
    assert kernel.reply() == {"t": "reply", "id": 17, "ok": True, "value": 5}


def test_sync_and_async_tools_run_outside_the_callers_thread():
    async def where_async() -> tuple[str, bool]:
        return threading.current_thread().name, asyncio.get_running_loop() is background.loop()

    kernel = Kernel(Tool(lambda: threading.current_thread().name, name="where"), where_async, later)
    assert kernel.call("where") == "codeact-tool"
    assert kernel.call("where_async") == ("codeact-tools-loop", True)
    assert kernel.call("later", 3) == 3


def test_a_plain_function_that_returns_an_awaitable_is_awaited():
    assert Kernel(Tool(lambda: later(4), name="f")).call("f") == 4


def test_dataclasses_models_and_arrays_go_back():
    kernel = Kernel(Tool(lambda: Pair(1, Point(x=2)), name="pair"), Tool(lambda a: a * 2, name="twice"))
    assert kernel.call("pair") == {"left": 1, "right": {"x": 2}}
    assert kernel.call("twice", np.arange(3)).tolist() == [0, 2, 4]


def test_calls_run_at_the_same_time():
    barrier = threading.Barrier(8, timeout=WAIT)
    kernel = Kernel(Tool(lambda: barrier.wait() and None, name="meet"))
    for n in range(8):
        kernel.send("meet", call_id=n)
    assert {kernel.reply()["id"] for _ in range(8)} == set(range(8))


def test_async_calls_run_at_the_same_time():
    event = None

    async def meet(n: int) -> int:
        nonlocal event
        event = event or asyncio.Event()
        if n == 4:
            event.set()
        await event.wait()
        return n

    kernel = Kernel(meet)
    for n in range(5):
        kernel.send("meet", n, call_id=n)
    assert {kernel.reply()["id"] for _ in range(5)} == set(range(5))


@pytest.mark.parametrize("function", [add, later])
def test_wrong_arguments_are_answered_as_errors(function):
    kernel = Kernel(function)
    with pytest.raises(TypeError, match="missing a required argument"):
        kernel.call(function.__name__)
    with pytest.raises(ValueError, match="valid integer"):
        kernel.call(function.__name__, "many")


def test_an_unknown_tool_names_those_there_are():
    with pytest.raises(LookupError, match="unknown tool 'sub'; available: add, later"):
        Kernel(add, later).call("sub")


def test_a_result_that_cannot_cross_is_a_type_error():
    with pytest.raises(TypeError, match=r"generator cannot cross.*list\(...\)"):
        Kernel(Tool(lambda: (n for n in ()), name="f")).call("f")


def test_an_answer_that_cannot_be_sent_becomes_an_error():
    replies: list[dict[str, Any]] = []
    done = threading.Event()

    def reply(header, buffers):
        if header["ok"]:
            raise ValueError("over the limit")
        replies.append(header)
        done.set()

    Calls(Toolbox([add])).start(1, *stubs.request("add", (1,), {}), reply)
    assert done.wait(WAIT)
    assert replies[0]["error"] == {"name": "ValueError", "message": "over the limit", "args": ["over the limit"]}


def test_a_kernel_that_is_gone_disturbs_nobody():
    tried = threading.Event()

    def reply(header, buffers):
        tried.set()
        raise BrokenPipeError

    Calls(Toolbox([add])).start(1, *stubs.request("add", (1,), {}), reply)
    assert tried.wait(WAIT)
    assert Kernel(add).call("add", 1) == 2


# --- approval ----------------------------------------------------------------------------------------------------


def test_without_an_approver_a_marked_tool_is_refused():
    with pytest.raises(PermissionError, match=r"wipe\(\) needs approval.*not run"):
        Kernel(wipe).call("wipe", "a")
    assert ran == []


def test_an_approver_sees_name_and_all_arguments():
    seen = []
    kernel = Kernel(wipe, add, approve=lambda name, arguments: seen.append((name, arguments)) or True)
    assert kernel.call("wipe", "a") == "wiped a"
    assert kernel.call("add", 1) == 2
    assert seen == [("wipe", {"path": "a", "force": False})]


@pytest.mark.parametrize("verdict", [False, None, 1, "yes", "no"])
def test_only_true_approves(verdict):
    with pytest.raises(PermissionError, match="not approved"):
        Kernel(wipe, approve=lambda *_: verdict).call("wipe", "a")
    assert ran == []


def test_an_approver_may_be_async():
    async def approve(name, arguments):
        return arguments["path"] == "a"

    kernel = Kernel(wipe, approve=approve)
    assert kernel.call("wipe", "a") == "wiped a"
    with pytest.raises(PermissionError):
        kernel.call("wipe", "b")


def test_an_approver_that_fails_approves_nothing():
    def approve(name, arguments):
        raise RuntimeError("secret detail")

    with pytest.raises(PermissionError, match="RuntimeError") as info:
        Kernel(wipe, approve=approve).call("wipe", "a")
    assert "secret" not in str(info.value)
    assert ran == []


def test_wrong_arguments_are_refused_before_anyone_is_asked():
    asked = []
    with pytest.raises(TypeError):
        Kernel(wipe, approve=lambda *call: asked.append(call) or True).call("wipe", 5)
    assert asked == []


def test_an_async_tool_may_need_approval():
    kernel = Kernel(Tool(later, needs_approval=True), approve=lambda *_: True)
    assert kernel.call("later", 5) == 5


def test_waiting_for_approval_is_counted_while_it_lasts():
    asked, go = threading.Event(), threading.Event()

    def approve(name, arguments):
        asked.set()
        return go.wait(WAIT)

    kernel = Kernel(wipe, approve=approve)
    assert kernel.calls.waiting_for_approval == 0
    kernel.send("wipe", "a")
    assert asked.wait(WAIT)
    assert kernel.calls.waiting_for_approval == 1
    go.set()
    assert kernel.reply()["ok"]
    assert kernel.calls.waiting_for_approval == 0


def test_an_approval_that_comes_after_the_timeout_runs_nothing():
    asked, go, answered = threading.Event(), threading.Event(), threading.Event()

    def approve(name, arguments):
        asked.set()
        go.wait(WAIT)
        answered.set()
        return True

    kernel = Kernel(wipe, add, approve=approve)
    kernel.send("wipe", "a")
    assert asked.wait(WAIT)
    kernel.calls.cancel_all()
    assert kernel.calls.waiting_for_approval == 0
    go.set()
    assert answered.wait(WAIT)
    assert kernel.call("add", 1) == 2  # the only answer
    assert ran == []
    assert kernel.replies.empty()


# --- the end of a cell -------------------------------------------------------------------------------------------


def test_async_tools_are_cancelled():
    begun, cancelled = threading.Event(), threading.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    kernel = Kernel(hang, add)
    kernel.send("hang")
    assert begun.wait(WAIT)
    kernel.calls.cancel_all()
    assert cancelled.wait(WAIT)
    assert kernel.call("add", 1) == 2
    assert kernel.replies.empty()


def test_the_answer_of_a_plain_tool_is_dropped():
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go.wait(WAIT)
        done.set()
        return "late"

    kernel = Kernel(slow, add)
    kernel.send("slow")
    assert begun.wait(WAIT)
    kernel.calls.cancel_all()
    go.set()
    assert done.wait(WAIT)
    assert kernel.call("add", 1) == 2
    assert kernel.replies.empty()


def test_cancelling_at_once_leaves_nothing_behind():
    kernel = Kernel(later, Tool(lambda: later(1), name="f"))
    for n in range(50):
        kernel.send("later", n)
        kernel.calls.cancel_all()
    while not kernel.replies.empty():
        kernel.replies.get()
    assert kernel.call("later", 5) == 5


def test_a_tool_that_cancels_itself_is_answered():
    async def stop() -> None:
        raise asyncio.CancelledError

    kernel = Kernel(stop)
    kernel.send("stop")
    assert kernel.reply()["error"]["name"] == "CancelledError"


def test_more_calls_than_threads_wait_their_turn(monkeypatch):
    monkeypatch.setattr(calls, "MAX_RUNNING", 2)
    peak, now, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal peak, now
        with lock:
            now += 1
            peak = max(peak, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1

    kernel = Kernel(work)
    for n in range(20):
        kernel.send("work", call_id=n)
    assert sorted(kernel.reply()["id"] for _ in range(20)) == list(range(20))
    assert peak <= 2


def test_hanging_tools_of_an_old_cell_take_no_place_from_the_next(monkeypatch):
    monkeypatch.setattr(calls, "MAX_RUNNING", 1)
    begun, go = threading.Event(), threading.Event()
    kernel = Kernel(Tool(lambda: begun.set() or go.wait(WAIT), name="hang"), add)
    kernel.send("hang")
    assert begun.wait(WAIT)
    kernel.calls.cancel_all()
    assert kernel.call("add", 1) == 2
    go.set()


def test_a_flood_of_calls_is_refused(monkeypatch):
    monkeypatch.setattr(calls, "MAX_PENDING", 5)
    go = threading.Event()
    kernel = Kernel(Tool(lambda: go.wait(WAIT), name="hang"))
    for n in range(6):
        kernel.send("hang", call_id=n)
    refused = kernel.reply()
    assert refused["id"] == 5
    assert "at once" in refused["error"]["message"]
    go.set()
    for _ in range(5):
        assert kernel.reply()["ok"]


# --- hostile frames ----------------------------------------------------------------------------------------------

anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                            st.sampled_from(["$tuple", "$bytes", "$ndarray", "$dict", "a"]), inner, max_size=2), max_leaves=10)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["tool", "arguments", "t", "x"]), anything | st.just("add") | st.just([[], {}]), max_size=4),
       st.lists(st.binary(max_size=10), max_size=2))
def test_any_header_is_answered_exactly_once(header, buffers):
    replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
    Calls(Toolbox([add])).start(9, header, buffers, lambda *reply: replies.put(reply))
    reply, _ = replies.get(timeout=WAIT)
    assert reply["id"] == 9
    assert reply["ok"] is False
    assert reply["error"]["message"]


def test_a_forked_child_has_threads_of_its_own():
    assert Kernel(add, later).call("add", 1) == 2
    background.loop()
    child = os.fork()
    if not child:
        try:
            kernel = Kernel(add, later)
            os._exit(0 if (kernel.call("add", 1), kernel.call("later", 4)) == (2, 4) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_end_when_idle(monkeypatch):
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.01)
    threads = background._Threads()
    started: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    threads.run(lambda _: started.put(threading.current_thread()), None)
    thread = started.get(timeout=WAIT)
    thread.join(WAIT)
    assert not thread.is_alive()
    threads.run(lambda _: started.put(threading.current_thread()), None)
    assert started.get(timeout=WAIT) is not thread
