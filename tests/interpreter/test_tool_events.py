"""What a running cell's tools do, told as events: in order, in the thread that runs the cell, with short arguments."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from codeact import Interpreter, tool
from codeact.environments._watch import CellWatch
from codeact.events import Approval, Output, ToolCalled


@tool
def double(n: int, note: str = "") -> int:
    """Twice n."""
    return 2 * n


@tool
async def later(n: int) -> int:
    """The same n."""
    await asyncio.sleep(0)
    return n


@tool
def fails() -> None:
    """It cannot be done."""
    raise ValueError("no luck")


@tool(needs_approval=True)
def wipe(path: str, force: bool = False) -> str:
    """Remove a path."""
    return "wiped " + path


class Seen:
    """Takes what `on_output` gets, and in which thread."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.threads: set[int] = set()

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())

    def told(self) -> list[Any]:
        """The events in order; text that came in pieces as one."""
        told: list[Any] = []
        for event in self.events:
            match event:
                case ToolCalled(name, arguments, error):
                    told.append((name, dict(arguments), error))
                case Approval(name, arguments, granted):
                    told.append(("approval", name, dict(arguments), granted))
                case _ if told and isinstance(told[-1], str):
                    told[-1] += event.text
                case _:
                    told.append(event.text)
        return told


@pytest.fixture(params=["local", "inprocess", pytest.param("jupyter", marks=pytest.mark.slow)])
def make(request, tmp_path):
    made = []

    def make(*tools, **options):
        made.append(Interpreter(tools, backend=request.param, workspace=tmp_path, imports=(), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_calls_come_between_what_was_printed_before_and_after_them(make, request):
    if "jupyter" in request.node.name:
        pytest.skip("a Jupyter kernel sends its output by another way than its questions")
    seen = Seen()
    make(double).run("for n in range(20):\n    print('before', n)\n    double(n, note='x')\n    print('after', n)", on_output=seen)
    expected: list[Any] = ["before 0\n"]
    for n in range(20):
        expected += [("double", {"n": str(n), "note": "'x'"}, None), f"after {n}\n" + (f"before {n + 1}\n" if n < 19 else "")]
    assert seen.told() == expected


def test_events_come_in_the_thread_that_runs_the_cell(make):
    seen = Seen()
    make(double, later).run("double(1)\nawait later(2)\nlater(3)", on_output=seen)
    assert [name for name, _, _ in seen.told()] == ["double", "later", "later"]
    assert seen.threads == {threading.get_ident()}


def test_a_failure_is_told_with_its_type_and_message_and_the_cell_may_go_on(make):
    seen = Seen()
    result = make(fails, double).run("try:\n    fails()\nexcept ValueError as error:\n    print(error)\ndouble('x')", on_output=seen)
    assert result.status == "error"
    told = seen.told()
    assert told[:2] == [("fails", {}, "ValueError: no luck"), "no luck\n"]
    assert told[2][2].startswith("ValueError: double(): argument 'n'")


@pytest.mark.parametrize("answer", [True, False])
def test_an_approval_is_told_when_it_is_asked_and_when_it_is_decided(make, answer):
    asked = []
    seen = Seen()

    def approve(name, arguments):
        asked.append((name, arguments))
        return answer

    result = make(wipe, approve=approve).run("wipe('/x')", on_output=seen)
    assert asked == [("wipe", {"path": "/x", "force": False})]
    assert result.status == ("ok" if answer else "error")
    given = {"path": "'/x'", "force": "False"}
    error = None if answer else "PermissionError: wipe() was not approved; it was not run"
    assert seen.told() == [("approval", "wipe", given, None), ("approval", "wipe", given, answer), ("wipe", given, error)]


def test_an_async_approver_is_awaited(make):
    async def approve(name, arguments):
        await asyncio.sleep(0)
        return name == "wipe"

    assert make(wipe, approve=approve).run("wipe('/x')").outputs == [{"text/plain": "'wiped /x'"}]


def test_an_approval_is_seen_while_the_cell_waits_for_it(make):
    seen_asking = threading.Event()

    def watch(event):
        if isinstance(event, Approval) and event.granted is None:
            seen_asking.set()

    result = make(wipe, approve=lambda name, arguments: seen_asking.wait(60)).run("wipe('/x')", on_output=watch)
    assert result.status == "ok"


def test_a_call_that_a_stopped_cell_left_is_told_too(make):
    hanging, free = threading.Event(), threading.Event()

    @tool
    def hang() -> None:
        """Wait for ever."""
        hanging.set()
        free.wait(60)

    seen = Seen()
    py = make(hang)
    threading.Thread(target=lambda: hanging.wait(60) and py.interrupt(), daemon=True).start()
    try:
        assert py.run("hang()", on_output=seen).status == "interrupted"
    finally:
        free.set()
    assert seen.told() == [("hang", {}, "the cell ended before the answer came")]


def test_what_an_observer_raises_at_a_call_stops_the_cell_and_is_raised(make):
    py = make(double)

    def watch(event):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        py.run("double(1)", on_output=watch)
    assert py.run("double(2)").outputs == [{"text/plain": "4"}]


def test_arguments_are_cut_to_what_the_eye_can_take(make):
    @tool
    def take(text: str, data: bytes, many: list[int], deep: list[Any]) -> None:
        """Take all."""

    seen = Seen()
    make(take).run("deep = []\nfor _ in range(20): deep = [deep]\ntake('x' * 10**6, b'y' * 10**6, list(range(10**5)), deep)", on_output=seen)
    [(_, arguments, error)] = seen.told()
    assert error is None
    assert all(len(text) <= 200 for text in arguments.values())
    assert arguments["many"].startswith("[0, 1, 2")


def test_the_union_of_events_carries_them():
    carried: list[Any] = []
    watch = CellWatch(carried.append)
    called = ToolCalled("double", {"n": "1"}, None, 0.5)
    with Interpreter([double], imports=()) as py:
        watch.end(py.run("print(double(1))", on_output=watch))
    assert [type(event) for event in carried] == [ToolCalled, Output]
    assert called.to_json() == {"type": "tool_called", "tool": "double", "arguments": {"n": "1"}, "error": None, "seconds": 0.5}


def test_replayed_calls_are_not_told_again(make):
    with Interpreter([double], imports=()) as py:
        py.run("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nx = double(1)")
        py.run("y = double(2)")
        seen = Seen()
        result = py.run("double(3)\nimport os\nos.abort()", on_output=seen)
        assert result.status == "died"
        assert [arguments["n"] for _, arguments, _ in seen.told()] == ["3"]
