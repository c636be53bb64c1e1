"""Servers of the Model Context Protocol: real ones, over stdio and HTTP, and hostile ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ports import free_port

pytest.importorskip("mcp")

from codeact import Interpreter
from codeact.errors import ConfigError
from codeact.events import ToolCalled
from codeact.tools import Toolbox, ToolModule, mcp

HERE = Path(__file__).parent
SERVER = [sys.executable, str(HERE / "mcp_server.py"), "stdio"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def hostile(mode: str) -> list[str]:
    return [sys.executable, str(HERE / "hostile_server.py"), mode]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="module")
def weather() -> Iterator[ToolModule]:
    with mcp.connect(SERVER) as module:
        yield module


@pytest.fixture
def py(weather) -> Iterator[Interpreter]:
    with Interpreter([weather], imports=()) as py:
        yield py


@pytest.fixture
def connect() -> Iterator[Callable[..., ToolModule]]:
    made = []

    def connect(*args, **kwargs) -> ToolModule:
        made.append(mcp.connect(*args, **kwargs))
        return made[-1]

    yield connect
    for module in made:
        module.close()


@pytest.fixture
def http() -> Iterator[Callable[[str], str]]:
    """Starts a server on loopback that wants this token; its address."""
    made = []

    def start(token: str) -> str:
        process = subprocess.Popen([sys.executable, HERE / "mcp_server.py", "http"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env={**os.environ, "TEST_TOKEN": token})
        made.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"

    yield start
    for process in made:
        process.kill()
        process.communicate()


# What a server is to cells -------------------------------------------------------------------------------------------


def test_a_server_is_a_module_named_as_it_says_with_typed_functions(py):
    told = py.run("help(weather_station)").stdout
    assert "Ask for the weather." in told
    assert "forecast(city: str, days: int = 3, unit: Literal['C', 'F'] = 'C', notes: list[str] | None = None) -> dict" in told
    assert "{city: str, degrees: float, days: list[int]}" in told
    assert "Made from the city's name alone." in told


@pytest.mark.parametrize(("call", "value"), [
    ("forecast('Lisbon', days=2)", {"city": "Lisbon", "degrees": 20.5, "days": [0, 1]}), ("add(1, b=2)", 3),
    ("as_json()", '{"a": 1}'), ("picture()", PNG), ("both()", ["look", PNG])])  # fmt: skip
def test_answers_are_python_values(py, call, value):
    assert py.run(f"weather_station.{call} == {value!r}").text.endswith("True")


def test_what_the_server_calls_an_error_is_raised(py):
    result = py.run("weather_station.fail('too hot')")
    assert result.error.name == "McpError"
    assert "fail" in result.error.message
    assert py.run("try:\n    weather_station.fail('x')\nexcept RuntimeError:\n    print('caught')").stdout == "caught\n"


def test_arguments_are_judged_before_the_server_sees_them(py):
    assert "Input should be 'C' or 'F'" in py.run("weather_station.forecast('a', unit='K')").error.message
    assert "missing a required argument: 'b'" in py.run("weather_station.add(1)").error.message


def test_calls_run_at_once_from_gather_and_from_threads(py):
    assert py.run("import asyncio\nawait asyncio.gather(*(weather_station.meet(n=6) for _ in range(6)))").outputs == [
        {"text/plain": "[6, 6, 6, 6, 6, 6]"}]


def test_calls_are_events_like_any_tools(py):
    seen = []
    py.run("weather_station.add(20, 22)", on_output=seen.append)
    [called] = [event for event in seen if isinstance(event, ToolCalled)]
    assert (called.tool, dict(called.arguments), called.error) == ("weather_station.add", {"a": "20", "b": "22"}, None)


def test_the_host_may_await_the_tools_itself(weather):
    import asyncio

    assert asyncio.run(weather.add(1, 2)) == 3


def test_a_stopped_cell_leaves_a_call_that_never_answers_and_the_next_one_works(py):
    assert py.run("weather_station.never()", timeout=0.5).status == "timeout"
    assert py.run("weather_station.add(1, 1)").text.endswith("2")


# Approval, environment, life -----------------------------------------------------------------------------------------


def test_what_is_not_called_read_only_may_need_approval(connect):
    asked = []
    weather = connect(SERVER, name="w", approval="writes")
    with Interpreter([weather], imports=(), approve=lambda name, arguments: asked.append((name, arguments))) as py:
        assert py.run("w.forecast('a')").status == "ok"
        assert py.run("w.add(1, 2)").error.name == "PermissionError"
    assert asked == [("w.add", {"a": 1, "b": 2})]
    assert all(tool.needs_approval for tool in connect(SERVER, approval="always"))


def test_a_command_gets_no_variable_of_ours_but_what_is_given(connect, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    weather = connect(SERVER, name="w", env={"GIVEN": "1"})
    with Interpreter([weather], imports=()) as py:
        names = py.run("e = w.environment(); print('sk-secret' in str(e), e['GIVEN'], 'PATH' in e)").stdout
    assert names == "False 1 True\n"


def test_the_program_ends_with_what_holds_it():
    toolbox = Toolbox([f"mcp:w={' '.join(SERVER)}"])
    with Interpreter(toolbox, imports=()) as py:
        pid = int(py.run("print(w.pid())").stdout)
        with py.branch() as twin:
            py.close()
            assert twin.run("w.pid()").text.endswith(str(pid))
            assert not is_gone(pid)
    assert is_gone(pid)
    with Interpreter(toolbox, imports=()) as py:
        assert "was closed" in py.run("w.add(1, 2)").error.message


def test_the_program_ends_with_this_one():
    code = ("import sys, asyncio\nfrom codeact.tools import mcp\n"
            f"w = mcp.connect({SERVER!r})\nprint(asyncio.run(w.pid()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert is_gone(int(done.stdout))


def test_a_server_that_died_says_so_and_the_next_call_starts_it_again(py):
    before = int(py.run("print(weather_station.pid())").stdout)
    result = py.run("weather_station.crash()")
    assert result.error.name == "McpError"
    assert "has ended, and whether this call was done is not known" in result.error.message
    assert "out of coffee" in result.error.message
    assert int(py.run("print(weather_station.pid())").stdout) != before
    assert is_gone(before)


def test_a_server_over_http_gets_the_headers_and_nobody_else_is_told(connect, http):
    url = http("tok-en")
    with pytest.raises(ConfigError) as refused:
        mcp.connect(url, headers={"Authorization": "Bearer wrong-token"})
    assert "wrong-token" not in str(refused.value)
    weather = connect(url, name="w", headers={"Authorization": "Bearer tok-en"})
    with Interpreter([weather], imports=()) as py:
        assert py.run("w.forecast('Lisbon', 1)['days']").text.endswith("[0]")
        assert py.run("w.picture()[:4]").text.endswith("b'\\x89PNG'")
        assert py.run("import asyncio\nawait asyncio.gather(*(w.meet(3) for _ in range(3)))").text.endswith("[3, 3, 3]")
        assert "tok-en" not in py.run("help(w)\nw.__dict__").text


def test_a_server_over_http_that_ends_in_a_call_is_told(connect, http):
    with Interpreter([connect(http(""), name="w")], imports=()) as py:
        assert "has ended, and whether this call was done is not known" in py.run("w.crash()").error.message
        assert "127.0.0.1 cannot be reached" in py.run("w.add(1, 2)").error.message


def test_of_a_file_all_servers_start_or_none_is_left(tmp_path):
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": {"good": {"command": SERVER[0], "args": [*SERVER[1:], str(tmp_path)]},
                                               "bad": {"command": "/no/such/program"}}}))
    with pytest.raises(ConfigError, match="program cannot be started"):
        mcp.servers(str(path))
    assert not running(str(tmp_path).encode())


def running(word: bytes) -> list[int]:
    """Processes with this in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:   # it has ended
            continue
    return found


def test_nobody_at_an_address_is_told():
    port = free_port()
    with pytest.raises(ConfigError, match=r"the server 127\.0\.0\.1 cannot be reached") as failed:
        mcp.connect(f"http://user:secret@127.0.0.1:{port}/mcp?key=secret", start_timeout=60)
    assert "secret" not in str(failed.value)


# What a user writes --------------------------------------------------------------------------------------------------


def test_a_file_of_servers_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", "stdio")
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": {
        "my weather": {"command": SERVER[0], "args": [SERVER[1], "${WHERE}"], "env": {"A": "${NOT_SET:-else}"}, "approval": "writes"},
        "off": {"command": "nothing", "disabled": True}}}))
    with Interpreter([f"mcp:{path}"], imports=()) as py:
        assert py.run("my_weather.forecast('x')['city']").text.endswith("'x'")
        assert py.run("my_weather.environment()['A']").error.name == "PermissionError"


@pytest.mark.parametrize(("content", "message"), [
    ("{", "cannot be read"), ("[]", "no file of servers"), ('{"mcpServers": {"a": {}}}', "server 'a'.*needs a \"command\""),
    ('{"mcpServers": {"a": 3}}', "object"), ('{"mcpServers": {"a": {"command": "x", "args": "y"}}}', "list of texts"),
    ('{"mcpServers": {"a": {"command": "x", "args": [1]}}}', "is no text"),
    ('{"mcpServers": {"a": {"url": "http://x/${SURELY_NOT_SET}"}}}', "SURELY_NOT_SET is not set"),
    ('{"mcpServers": {"a": {"command": "x", "approval": "maybe"}}}', "approval='maybe'")])  # fmt: skip
def test_a_file_that_makes_no_sense_is_explained(tmp_path, content, message):
    path = tmp_path / "servers.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        mcp.servers(str(path))


@pytest.mark.parametrize(("spec", "message"), [
    ("", "followed by a command"), ("/no/such/program --flag", "server program cannot be (used|started)"),
    ("no/such.json", "cannot be read"), ("'open", "cannot be read"), ("http://", "no address")])  # fmt: skip
def test_text_that_names_no_server_is_explained(spec, message):
    with pytest.raises(ConfigError, match=message):
        mcp.servers(spec)


def test_options_of_the_other_kind_are_refused():
    with pytest.raises(ConfigError, match="headers and sse are for an address"):
        mcp.connect("x", headers={"a": "b"})
    with pytest.raises(ConfigError, match="env and cwd are for a command"):
        mcp.connect("http://localhost/mcp", env={"a": "b"})
    with pytest.raises(ConfigError, match="approval='often'"):
        mcp.connect("x", approval="often")


# Hostile ones --------------------------------------------------------------------------------------------------------


def test_a_list_without_end_is_cut(connect):
    assert len(connect(hostile("many"))) == 500


def test_names_that_collide_or_cannot_be_written_are_changed_and_called_by_their_own(connect):
    module = connect(hostile("collide"))
    names = [tool.name.removeprefix("bad_server.") for tool in module]
    assert names == ["a_b", "a_b_2", "a_b_3", "class_", "x_9lives", "init", "é", "x", "x" * 60]
    with Interpreter([module], imports=()) as py:
        assert py.run("bad_server.class_(), bad_server.a_b_3()").text.endswith("('gone', 'gone')")


def test_a_server_cannot_take_the_name_of_a_builtin(connect):
    assert connect(hostile("named")).name == "print_tools"


def test_bad_schemas_are_bounded_and_their_tools_can_be_called(connect):
    module = connect(hostile("schemas"))
    tools = list(module)
    assert len(tools) == 8
    for tool in tools:
        assert len(str(tool.signature)) <= 4000
        assert len(tool.doc) <= 6000
        assert "\x1b" not in tool.doc
        assert "\u202e" not in tool.doc
    signatures = [str(tool.signature).replace("typing.", "") for tool in tools]
    assert signatures[0] == "(a: Any = None)"
    assert signatures[2] == "(**arguments: Any)"
    assert signatures[3] == "(from_: str, class_: str | None = None)"
    assert signatures[6] == "(a_b: Any = None, a_b_2: Any = None, a_b_3: Any = None)"
    with Interpreter([module], imports=()) as py:
        assert py.run("bad_server.s0(a=1), bad_server.s2(p3='x'), bad_server.s3('x'), bad_server.s5(any=[1])").text.endswith(
            "('gone', 'gone', 'gone', 'gone')")


def test_a_crash_in_a_call_and_an_answer_that_is_none_are_errors(connect):
    for mode, message in (("crash", "has ended, and whether this call was done is not known"), ("garbage", "not base64"), ("refuse", "not today")):
        with Interpreter([connect(hostile(mode))], imports=()) as py:
            error = py.run("bad_server.go()").error
            assert (error.name, message in error.message, "\x1b" in error.message) == ("McpError", True, False)


def test_no_answer_in_time_is_a_timeout_and_the_cell_may_go_on(connect):
    with Interpreter([connect(hostile("hang"), timeout=0.5)], imports=()) as py:
        assert py.run("try:\n    bad_server.go()\nexcept TimeoutError as error:\n    print(error)").stdout.endswith(
            "did not answer within 0.5 seconds\n")


def test_noise_between_the_lines_is_passed_over(connect):
    with Interpreter([connect(hostile("noise"))], imports=()) as py:
        assert py.run("bad_server.go()").text.endswith("'gone'")


@pytest.mark.parametrize(("mode", "message"), [
    ("dies", "no licence"), ("silent", "not ready within"), ("deep", "not ready within"), ("malformed", "cannot be used"), ("notools", "cannot be used")])  # fmt: skip
def test_a_server_that_does_not_get_ready_is_told_with_its_last_words_and_ended(mode, message):
    before = threading.active_count()
    with pytest.raises(ConfigError, match=message) as failed:
        mcp.connect(hostile(mode), start_timeout=3 if message == "not ready within" else 60)
    assert "\x1b" not in str(failed.value)
    assert threading.active_count() <= before + 1
    assert not running(b"hostile_server.py\0" + mode.encode())
