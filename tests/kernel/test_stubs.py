"""Stubs: in the kernel a tool looks and fails like the function it stands for."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
import subprocess
import sys

import pytest

from codeact.kernel import stubs, values
from codeact.kernel.stubs import ToolError, answer, make_stub, request
from codeact.tools.calls import Calls
from codeact.tools.tool import Tool, tool
from codeact.tools.toolbox import Toolbox


@tool
def exchange_rate(currency: str, /, days: int = 7, *rest: float, strict: bool = False, note=print, **more: str) -> list[float]:
    """Euros for one unit of `currency`.

    The second paragraph.
    """
    return [float(days)]


def stub_of(tool: Tool, answer=lambda name, args, kwargs: (name, args, kwargs), **options):
    return make_stub(tool.spec(), answer, **options)


def test_a_stub_has_name_docstring_and_signature_of_its_tool():
    stub = stub_of(exchange_rate)
    assert stub.__name__ == stub.__qualname__ == "exchange_rate"
    assert stub.__doc__ == exchange_rate.doc
    text = "(currency: str, /, days: int = 7, *rest: float, strict: bool = False, note=<built-in function print>, **more: str)"
    assert str(inspect.signature(stub)) == text + " -> list[float]"
    assert inspect.signature(stub).parameters["currency"].annotation is str


def test_help_shows_what_the_tool_would():
    text = pydoc.plain(pydoc.render_doc(stub_of(exchange_rate)))
    assert "exchange_rate(currency: str, /, days: int = 7" in text
    assert "-> list[float]" in text
    assert "Euros for one unit" in text
    assert "second paragraph" in text


def test_a_call_hands_over_what_was_given_and_no_defaults():
    assert stub_of(exchange_rate)("USD", strict=True) == ("exchange_rate", ("USD",), {"strict": True})


def test_a_parameter_may_have_any_name():
    assert stub_of(Tool(lambda name, args, kwargs, call: 1, name="f"))(name=1, args=2, kwargs=3, call=4)[2] == {
        "name": 1, "args": 2, "kwargs": 3, "call": 4}


def test_an_async_tool_is_awaited_in_a_loop_and_waits_outside():
    @tool
    async def fetch(url: str) -> str:
        return url

    async def call_async(name, args, kwargs):
        await asyncio.sleep(0)
        return "awaited"

    stub = stub_of(fetch, lambda *call: "blocked", call_async=call_async)

    async def cell():
        return await asyncio.gather(stub("a"), stub("b"))

    assert stub("a") == "blocked"
    assert asyncio.run(cell()) == ["awaited", "awaited"]


def test_arguments_travel_as_one_value():
    header, buffers = request("f", (1, (2,), b"x"), {"k": {3}})
    assert (header["t"], header["tool"]) == ("call", "f")
    assert values.unpack(header["arguments"], buffers) == [[1, (2,), b"x"], {"k": {3}}]


def test_an_argument_that_cannot_cross_is_a_type_error_that_says_what_can():
    with pytest.raises(TypeError, match="what can: None, bool"):
        request("f", (object(),), {})


def test_an_answer_is_the_value():
    tree, buffers = values.pack(("a", b"b"))
    assert answer({"t": "reply", "ok": True, "value": tree}, buffers) == ("a", b"b")


class Refused(Exception):
    pass


class BadReply(ValueError):
    def __init__(self, code, reason):
        super().__init__(code, reason)


class Gone(OSError):
    pass


def raised_in_kernel(error: BaseException) -> Exception:
    """The error that a cell sees when a tool raises this one, all the way."""
    def fail():
        raise error

    import queue
    replies: queue.SimpleQueue = queue.SimpleQueue()
    Calls(Toolbox([Tool(fail)])).start(1, *request("fail", (), {}), lambda *reply: replies.put(reply))
    with pytest.raises(Exception) as info:  # noqa: PT011
        answer(*replies.get(timeout=60))
    return info.value


@pytest.mark.parametrize("error", [
    ValueError("no such currency"), KeyError("USD"), KeyError(5), FileNotFoundError(2, "No such file", "a.txt"),
    ZeroDivisionError(), ValueError("two", 2), TimeoutError("slow"), StopIteration("x"), PermissionError("no")], ids=repr)
def test_builtin_errors_arrive_as_themselves(error):
    seen = raised_in_kernel(error)
    assert type(seen) is type(error)
    assert str(seen) == str(error)


def test_other_errors_arrive_under_their_own_name():
    seen = raised_in_kernel(Refused("by policy"))
    assert type(seen).__name__ == "Refused"
    assert type(seen).__module__ == __name__
    assert isinstance(seen, ToolError)
    assert str(seen) == "by policy"
    assert type(seen) is type(raised_in_kernel(Refused("again")))


@pytest.mark.parametrize(("error", "base"), [(BadReply(7, "x"), ValueError), (Gone("left"), OSError)])
def test_other_errors_can_be_caught_by_their_builtin_base(error, base):
    seen = raised_in_kernel(error)
    assert isinstance(seen, (ToolError, base))
    assert isinstance(seen, base)
    assert str(seen) == str(error)


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ExceptionGroup("many", [ValueError()])])
def test_errors_that_take_more_than_a_message_keep_name_and_message(error):
    seen = raised_in_kernel(error)
    assert type(seen).__name__ == type(error).__name__
    assert str(seen) == str(error)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("x")])
def test_errors_that_would_end_the_kernel_are_tool_errors(error):
    seen = raised_in_kernel(error)
    assert isinstance(seen, ToolError)
    assert type(seen).__name__ == type(error).__name__


def test_a_traceback_of_the_host_is_not_sent():
    seen = raised_in_kernel(Refused("x"))
    assert seen.__cause__ is None
    assert seen.__context__ is None
    assert not any("calls.py" in str(value) for value in vars(seen).values())


def test_the_module_imports_nothing_heavy():
    code = "from codeact.kernel import stubs; print([m for m in ('asyncio', 'inspect', 'numpy') if m in sys.modules])"
    code = f"import sys; sys.path[:] = {sys.path!r}; {code}"
    assert subprocess.check_output([sys.executable, "-S", "-c", code], text=True).strip() == "[]"
    assert stubs.__all__
