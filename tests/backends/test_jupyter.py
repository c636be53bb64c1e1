"""Jupyter kernels: real ones of ipykernel, started, found by their file, and behind a real kernel gateway."""

from __future__ import annotations

import json
import threading
import urllib.error
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from codeact import ConfigError, Interpreter, InterpreterError, InterpreterGone, Limits, tool
from codeact.backends import _jupyter_cell, jupyter
from codeact.backends._jupyter_cell import bundle_of, plain
from codeact.backends._jupyter_tools import Questions
from codeact.backends._jupyter_wire import KernelLost, Message, message_of
from codeact.interpreter.journal import HostAnswers
from codeact.tools.calls import Calls
from codeact.tools.toolbox import Toolbox
from jupyter_gateway import Gateway

pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("zmq")


@pytest.fixture(scope="module")
def py():
    """One kernel for the questions that leave no trace."""
    with Interpreter(backend="jupyter:python3") as made:
        yield made


@pytest.fixture(scope="module")
def running():
    """A kernel somebody else started, and its connection file."""
    kernel = manager.KernelManager()
    kernel.start_kernel()
    yield kernel
    kernel.shutdown_kernel(now=True)
    kernel.cleanup_resources()


def test_cells_are_numbered_as_ours_also_after_a_death(py):
    first = py.run("1/0")
    assert f"Cell In[{first.number}]" in first.text
    assert "\x1b" not in first.text
    died = py.run("import os; os._exit(3)")
    assert died.status == "died"
    assert died.lost
    assert "exit code 3" in died.text
    assert "all variables are gone" in died.text
    after = py.run("1/0")
    assert f"Cell In[{after.number}]" in after.text
    assert py.run("5").text == f"Out[{after.number + 1}]: 5"


def test_a_cell_that_does_not_stop_costs_the_state_and_says_so(py):
    py.run("x = 1")
    result = py.run("import time\nwhile True:\n    try: time.sleep(5)\n    except KeyboardInterrupt: pass", timeout=1.5)
    assert result.status == "timeout"
    assert result.restored
    assert result.lost
    assert py.run("x").error.name == "NameError"


def test_a_death_between_cells_is_told(py):
    py.run("import threading, os\nthreading.Timer(0.05, lambda: os._exit(0)).start()")
    kernel = py._backend._wire._manager
    assert _until(lambda: not kernel.is_alive())
    assert "ended after the last cell" in py.run("1").text


def _until(condition) -> bool:
    pause = threading.Event()
    return any(condition() or pause.wait(0.05) for _ in range(1200))


def test_the_kernels_own_magics_and_figures_work(py):
    assert py.run("!echo hi").stdout.split() == ["hi"]
    assert "Variable" in py.run("y = 1\n%whos").text
    pytest.importorskip("matplotlib")
    result = py.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
    assert any(bytes(output.get("image/png", b"")).startswith(b"\x89PNG") for output in result.outputs), result.text


def test_displays_keep_their_place_and_updates_follow(py):
    result = py.run("print('a')\nh = display('one', display_id=True)\nprint('b')\nh.update('two')")
    assert result.text.split() == ["a", "'one'", "b", "'two'"]


def test_nobody_to_type_is_an_end_of_file_with_advice(py):
    result = py.run("input('name? ')")
    assert result.error.name == "EOFError"
    assert "ask the user" in result.text


def test_no_states(py):
    with pytest.raises(InterpreterError, match="backend='local'"):
        py.checkpoint()


def test_the_papers_style_shows_the_kernels_own_traceback():
    with Interpreter(backend="jupyter:python3", style="chat") as py:
        assert "----> 1 1/0" in py.run("1/0").text


# A kernel that runs ---------------------------------------------------------------------------------------------------


def test_a_running_kernel_is_used_and_left_running(running, tmp_path):
    @tool
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    with Interpreter([double], backend=f"jupyter:{running.connection_file}") as py:
        assert py.run("z = double(4)\nz").outputs[-1]["text/plain"] == "8"
        assert py.level == 0
        with pytest.raises(InterpreterError, match="was there before"):
            py.reset()
    assert running.is_alive()
    with Interpreter(backend=f"jupyter:{running.connection_file}") as py:
        assert py.run("z").outputs[-1]["text/plain"] == "8"
        assert py.run("double(1)").error.name == "NameError"
        assert py.workspace.is_dir()
    with pytest.raises(ConfigError, match="workspace"):
        Interpreter(backend=f"jupyter:{running.connection_file}", workspace=tmp_path)


def test_what_another_front_end_does_is_not_shown(running):
    other = running.client()
    other.start_channels()
    started = threading.Event()

    @tool
    def meanwhile() -> None:
        """Has the other front end ask for something, which comes when this cell is over."""
        other.execute("print('not yours')")
        started.set()

    try:
        with Interpreter([meanwhile], backend=f"jupyter:{running.connection_file}") as py:
            py.run("meanwhile()")
            assert started.is_set()
            assert py.run("print('mine')").text == "mine"
    finally:
        other.stop_channels()


# Behind HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_gateway_is_used_by_its_address():
    pytest.importorskip("kernel_gateway")
    pytest.importorskip("websocket")

    @tool
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    with Gateway() as gateway:
        with Interpreter([double], backend=f"jupyter:{gateway.url}") as py:
            assert py.run("double(21)").text == "Out[1]: 42"
            assert py.run("while True: pass", timeout=0.3).status == "timeout"
            died = py.run("import os; os._exit(1)")
            assert died.status == "died"
            assert py.run("double(1)").text.endswith("2")
            with gateway.request("/api/kernels/" + py._backend._wire._id) as answer:
                assert json.load(answer)["id"] == py._backend._wire._id
            address = f"jupyter:http://127.0.0.1:{gateway.port}/api/kernels/{py._backend._wire._id}?token={gateway.token}"
            with Interpreter(backend=address) as guest:
                assert guest.run("7").outputs[-1]["text/plain"] == "7"
            kernel = py._backend._wire._id
        with pytest.raises(urllib.error.HTTPError), gateway.request(f"/api/kernels/{kernel}"):
            pass
        with pytest.raises(ConfigError, match="token"):
            Interpreter(backend=f"jupyter:http://127.0.0.1:{gateway.port}/?token=wrong")
        with pytest.raises(ConfigError, match="404"):
            Interpreter(backend=f"jupyter:http://127.0.0.1:{gateway.port}/api/kernels/none?token={gateway.token}")


def test_an_address_nobody_answers_at_is_told_without_its_token():
    pytest.importorskip("websocket")
    with pytest.raises(InterpreterGone, match="no Jupyter server answers") as told:
        Interpreter(backend="jupyter:http://127.0.0.1:9/?token=sk-secret")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("path", ["/api/kernels", "/api/kernels/k-1/channels"])
def test_a_redirect_is_not_followed_with_the_token(path):
    pytest.importorskip("websocket")
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    class Server(Elsewhere):
        def do_GET(self):
            if self.path.partition("?")[0] == path:
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{other.server_port}/x" if path == "/api/kernels"
                                 else f"ws://127.0.0.1:{other.server_port}/x")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"id": "k-1"}')

        do_POST = do_DELETE = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other, \
            ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threads = [threading.Thread(target=one.serve_forever) for one in (other, server)]
        for thread in threads:
            thread.start()
        try:
            with pytest.raises((ConfigError, InterpreterGone), match=r"302|[Rr]edirect") as told:
                Interpreter(backend=f"jupyter:http://127.0.0.1:{server.server_port}/?token=sk-secret")
        finally:
            for one in (other, server):
                one.shutdown()
            for thread in threads:
                thread.join()
    assert asked == []
    assert "secret" not in str(told.value)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "words"), [("no-such-kernel", "installed: "), ("/no/such/file.json", "no connection file")])
def test_a_kernel_that_is_not_there_is_told(target, words):
    with pytest.raises(ConfigError, match=words):
        Interpreter(backend=f"jupyter:{target}")


def test_a_file_that_is_no_connection_file_is_told(tmp_path):
    for text in ("", "[]", '{"ip": 5}', "\0"):
        (tmp_path / "k.json").write_text(text)
        with pytest.raises(ConfigError, match="no connection file"):
            Interpreter(backend=f"jupyter:{tmp_path / 'k.json'}")


@pytest.mark.parametrize("options", [{"sandbox": 3}, {"python": "/usr/bin/python3"}, {"read": ["/tmp"]}])
def test_what_a_kernel_cannot_give_is_refused(options):
    with pytest.raises(ConfigError, match="jupyter"):
        Interpreter(backend="jupyter:python3", **options)


def test_messages_of_any_shape_are_read_or_passed_over():
    for raw in (None, 1, [], {}, {"header": 1, "content": {}}, {"header": {}, "content": []}):
        assert message_of(raw, "iopub", "s") is None
    found = message_of({"header": {"msg_type": "stream"}, "parent_header": None, "content": {}}, "iopub", "s")
    assert found is not None
    assert (found.kind, found.parent, found.ours) == ("stream", "", False)


def test_bundles_of_any_shape_are_read_or_passed_over():
    assert bundle_of(None) == bundle_of([1]) == {}
    assert bundle_of({"image/png": "iVBORw0KGgo=", "text/plain": ["a", "b"], "application/json": {"a": [1]}}) == {
        "image/png": b"\x89PNG\r\n\x1a\n", "text/plain": "ab", "application/json": '{"a": [1]}'}
    assert bundle_of({"image/png": "no base64!"}) == {}
    assert plain("\x1b[0;31mred\x1b[0m \x1b]0;title\x07x") == "red x"


class SlowWire:
    """A kernel whose reply is here before its output, as when that is large; what is told in what order."""

    def __init__(self, *told):
        self.told, self.asked = [*told], []

    def send(self, channel, kind, content):
        self.asked.append(kind)
        return str(len(self.asked))

    def wait(self, seconds):
        if not self.told:
            raise KernelLost("it says nothing more")
        return [self.told.pop(0)] if len(self.asked) >= int(self.told[0].parent) else []

    def wake(self):
        pass


def says(parent, kind, **content):
    return Message("shell" if kind.endswith("reply") else "iopub", kind, parent, True, content)


REPLY = says("1", "execute_reply", status="ok")
VALUE = says("1", "execute_result", data={"text/plain": "big"})
IDLE, IDLE_LATER = (says(parent, "status", execution_state="idle") for parent in "12")


@pytest.mark.parametrize(("told", "value"), [
    ([REPLY, VALUE, IDLE], {"text/plain": "big"}), ([REPLY, IDLE_LATER], None),
    ([VALUE, IDLE, IDLE_LATER], {"text/plain": "big"})], ids=["slow", "lost", "without a reply"])
def test_output_that_is_long_on_its_way_is_waited_for_and_lost_messages_are_not(monkeypatch, told, value):
    monkeypatch.setattr(_jupyter_cell, "STRAGGLER_SECONDS", -1.0)
    wire = SlowWire(*told)
    answers = HostAnswers(Calls(Toolbox([]), None, None), None)
    cell = _jupyter_cell.Cell(wire, Limits(), answers, "n", can_ask=False, seconds=None, on_output=None, news=deque())
    outcome = cell.run("Big()")
    assert (outcome.dead, outcome.status, outcome.value) == (False, "ok", value)
    assert "kernel_info_request" in wire.asked


@pytest.mark.parametrize("question", [
    "", "null", "[]", "{}", '{"calls": 1, "waiting": [], "seconds": 0}', '{"calls": [[1]], "waiting": [], "seconds": 0}',
    '{"calls": [[1, [], []]], "waiting": [1], "seconds": "x"}', '{"calls": [[1, {}, ["@"]]], "waiting": [1], "seconds": 0}',
    "[" * 100_000])  # fmt: skip
def test_a_forged_question_is_answered_with_nothing(question):
    questions = Questions("n", SimpleNamespace(call=None), lambda: None)  # type: ignore[arg-type]
    assert questions.take("codeact-tool:n:" + question)
    assert json.loads(questions.answer())["answers"] == []
    assert not questions.take("codeact-tool:other:" + question)


def test_a_kernel_that_took_no_notice_of_an_interrupt_is_interrupted_again_and_asked_anew(monkeypatch):
    class Wire:
        """A kernel whose first question is lost, and which is interrupted once before it has begun."""

        def __init__(self):
            self.asked, self.interrupts, self.replied = 0, 0, False

        def send(self, channel, kind, content):
            self.asked += kind == "execute_request"
            self.replied = kind == "input_reply"
            return str(self.asked)

        def interrupt(self):
            self.interrupts += 1

        def wait(self, seconds):
            if self.replied or (self.asked == 1 and self.interrupts == 2):
                return [Message("shell", "execute_reply", str(self.asked), True, {})]
            return [Message("stdin", "input_request", "2", True, {})] if self.asked == 2 else []

    monkeypatch.setattr(jupyter, "STDIN_SECONDS", 0.01)
    backend = object.__new__(jupyter.JupyterBackend)
    backend._wire = wire = Wire()
    backend._await_stdin()
    assert (wire.asked, wire.interrupts, wire.replied) == (2, 2, True)
