"""`codeact mcp`, driven by the SDK's own client over standard input and output."""

import base64
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("mcp")

import anyio
from mcp import Client, StdioServerParameters, stdio_client

COMMAND = [sys.executable, "-m", "codeact", "mcp"]
ENVIRONMENT = {name: os.environ[name] for name in ("PYTHONPATH", "PATH", "HOME") if name in os.environ}


def drive(steps, *words: str, mode: str = "auto"):
    """Do steps with a client of a server that was started with these words."""

    async def main():
        with open(os.devnull, "w") as silent:
            server = stdio_client(StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *words], env=ENVIRONMENT),
                                  errlog=silent)
            async with Client(server, mode=mode) as client:
                return await steps(client)

    return anyio.run(main)


async def run(client, code, **arguments):
    """Run a cell: whether it failed, its text, and what else came."""
    answer = await client.call_tool("run_python", {"code": code, **arguments})
    return answer.is_error, answer.content[0].text, answer.content[1:]


async def refused(client, tool, arguments) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer
    return answer.content[0].text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_listed_and_variables_stay_from_call_to_call(mode):
    async def steps(client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"run_python", "reset", "upload", "download"}
        assert tools["run_python"].input_schema["required"] == ["code"]
        assert all(tool.description for tool in tools.values())
        assert "stay from one call" in client.instructions
        assert await run(client, "x = 41") == (False, "[no output]", [])
        assert await run(client, "x + 1") == (False, "Out[2]: 42", [])

    drive(steps, mode=mode)


def test_a_figure_comes_as_an_image_and_a_file_is_named():
    async def steps(client):
        failed, text, rest = await run(client, "import matplotlib.pyplot as plt; plt.plot([1, 2])\n"
                                               "open('made.txt', 'w').write('x'); None")
        if failed and "No module named 'matplotlib'" in text:
            pytest.skip("the Python of the sessions has no matplotlib")
        assert "[image/png" in text
        assert "[files written: made.txt]" in text
        image, = rest
        assert (image.type, image.mime_type) == ("image", "image/png")
        assert base64.b64decode(image.data).startswith(b"\x89PNG")

    drive(steps)


def test_an_error_a_time_out_and_a_crash_are_text_and_lose_nothing():
    async def steps(client):
        await run(client, "x = 1")
        for code, words, more in [("1 / 0", "ZeroDivisionError", {}), ("while True: pass", "TimeoutError", {"timeout": 0.3}),
                                  ("import os; os._exit(1)", "KernelDied", {}), ("def", "SyntaxError", {}),
                                  ("raise ValueError('\\ud800')", "ValueError", {})]:  # fmt: skip
            failed, text, _ = await run(client, code, **more)
            assert failed
            assert words in text
        assert (await run(client, "x"))[1].endswith(": 1")

    drive(steps)


def test_a_reset_forgets_variables_and_keeps_files():
    async def steps(client):
        await run(client, "x = 1; open('a.txt', 'w').write('kept')")
        assert not (await client.call_tool("reset", {})).is_error
        assert "NameError" in (await run(client, "x"))[1]
        assert (await client.call_tool("download", {"path": "a.txt"})).content[0].text == "kept"

    drive(steps)


def test_files_go_in_and_out_as_text_images_and_bytes():
    async def steps(client):
        await client.call_tool("upload", {"path": "d/a.csv", "content": "ü,1\n"})
        assert await run(client, "open('d/a.csv').read()") == (False, "Out[1]: 'ü,1\\n'", [])
        data = base64.b64encode(bytes(range(256))).decode()
        done = await client.call_tool("upload", {"path": "b.bin", "content": data, "encoding": "base64"})
        assert done.content[0].text == "b.bin: 256 bytes written"
        resource = (await client.call_tool("download", {"path": "b.bin"})).content[0].resource
        assert (resource.blob, resource.uri) == (data, "workspace:///b.bin")
        await run(client, "open('f.png', 'wb').write(b'\\x89PNG')")
        assert (await client.call_tool("download", {"path": "f.png"})).content[0].mime_type == "image/png"

    drive(steps)


@pytest.mark.parametrize(("tool", "arguments", "words"), [
    ("run_python", {}, "code"), ("run_python", {"code": 1}, "valid string"), ("run_python", {"code": None}, "valid string"),
    ("run_python", {"code": "1", "timeout": -1}, "greater than 0"), ("run_python", {"code": "1", "timeout": 1e9}, "3600"),
    ("upload", {"path": "a"}, "content"), ("upload", {"path": "a", "content": "%", "encoding": "base64"}, "no base64"),
    ("upload", {"path": "a", "content": "x", "encoding": "rot13"}, "'text' or 'base64'"),
    ("upload", {"path": "../a", "content": "x"}, "without '..'"), ("upload", {"path": "/etc/a", "content": "x"}, "relative"),
    ("download", {"path": "../../etc/passwd"}, "without '..'"), ("download", {"path": "/etc/passwd"}, "relative"),
    ("download", {"path": "nothing"}, "no file"), ("download", {"path": ""}, "relative"), ("nothing", {}, "Unknown tool")])  # fmt: skip
def test_arguments_that_make_no_sense_are_told_and_the_server_lives(tool, arguments, words, one_server):
    assert words in one_server(lambda client: refused(client, tool, arguments))
    assert one_server(lambda client: run(client, "40 + 2"))[1].endswith(": 42")


@pytest.fixture(scope="module")
def one_server():
    """Does steps with the client of one server, for several tests."""
    with anyio.from_thread.start_blocking_portal() as portal:
        @asynccontextmanager
        async def server():
            with open(os.devnull, "w") as silent:
                parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=ENVIRONMENT)
                async with Client(stdio_client(parameters, errlog=silent)) as client:
                    yield client

        with portal.wrap_async_context_manager(server()) as client:
            yield lambda steps: portal.call(steps, client)


def test_a_huge_file_is_refused_both_ways(one_server):
    async def steps(client):
        text = await refused(client, "upload", {"path": "big", "content": "x" * ((8 << 20) + 1)})
        assert "8,388,608 bytes" in text
        await run(client, "f = open('huge', 'wb'); f.truncate(9 << 20); f.close()")
        assert "let run_python cut or compress it" in await refused(client, "download", {"path": "huge"})

    one_server(steps)


def test_a_link_of_a_cell_leads_nowhere(one_server):
    async def steps(client):
        await run(client, "import os; os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'etc'); os.mkfifo('pipe')")
        for path in ("link", "etc/passwd", "pipe"):
            assert "no file" in await refused(client, "download", {"path": path})

    one_server(steps)


def test_calls_at_once_wait_for_one_another(one_server):
    async def steps(client):
        await run(client, "seen = []")
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(run, client, f"seen.append({number})")
        return await run(client, "sorted(seen)")

    assert one_server(steps)[1].endswith("[0, 1, 2, 3, 4]")


def test_a_call_that_is_withdrawn_is_stopped_and_the_variables_are_kept(one_server):
    async def steps(client):
        with anyio.move_on_after(0.5) as scope:
            await run(client, "y = 1\nwhile True: pass", timeout=1000)
        assert scope.cancelled_caught
        return await run(client, "y")

    assert one_server(steps)[1].endswith(": 1")


def test_a_folder_of_the_users_is_worked_in(tmp_path):
    tmp_path.chmod(0o777)
    (tmp_path / "data.txt").write_text("mine")

    async def steps(client):
        assert (await run(client, "open('data.txt').read()"))[1] == "Out[1]: 'mine'"
        await client.call_tool("upload", {"path": "up.txt", "content": "up"})

    drive(steps, "--workspace", str(tmp_path), "--live")
    assert (tmp_path / "up.txt").read_text() == "up"


def test_a_folder_that_is_held_back_stays_as_it_is_and_files_are_the_sessions(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for name in ("keep.txt", "old.txt", "gone.txt"):
        (folder / name).write_text("mine")

    async def text(client, path):
        result = await client.call_tool("download", {"path": path})
        return result.is_error, result.content[0].text

    async def steps(client):
        await client.call_tool("upload", {"path": "keep.txt", "content": "theirs"})
        await client.call_tool("upload", {"path": "sub/new.txt", "content": "bmV3", "encoding": "base64"})
        await run(client, "import os\nopen('made.txt', 'w').write('made'); os.remove('gone.txt')")
        assert (await run(client, "open('keep.txt').read() + open('sub/new.txt').read()"))[1].endswith("'theirsnew'")
        assert [await text(client, path) for path in ("keep.txt", "made.txt", "old.txt")] == [
            (False, "theirs"), (False, "made"), (False, "mine")]
        assert (await text(client, "gone.txt"))[0]
        refused = await client.call_tool("upload", {"path": "../out.txt", "content": "x"})
        assert refused.is_error

    drive(steps, "--workspace", str(folder))
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(("keep.txt", "old.txt", "gone.txt"), "mine")
    assert not (tmp_path / "out.txt").exists()


def test_the_limits_of_the_command_line_hold():
    async def steps(client):
        assert "TimeoutError" in (await run(client, "while True: pass"))[1]

    drive(steps, "--timeout", "0.3", "--memory-mb", "500")


# The process ------------------------------------------------------------------------------------------------------------

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}}


def start(*words: str) -> subprocess.Popen:
    return subprocess.Popen([*COMMAND, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_nothing_but_the_protocol_is_on_standard_output():
    calls = [HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "run_python", "arguments": {"code": "print('printed', flush=True)\nimport os; os.system('echo shell')\nos.write(1, b'raw')"}}}]
    server = start()
    for call in calls:
        server.stdin.write(json.dumps(call) + "\n")
    server.stdin.write("garbage\n\x00\n[]\n" + json.dumps({"jsonrpc": "2.0", "id": 3, "method": "nothing"}) + "\n")
    server.stdin.flush()
    answers = {}
    while 2 not in answers or 3 not in answers:
        line = server.stdout.readline()
        assert line, server.stderr.read()
        answer = json.loads(line)
        assert answer["jsonrpc"] == "2.0"
        answers[answer.get("id")] = answer
    text = answers[2]["result"]["content"][0]["text"]
    assert all(word in text for word in ("printed", "shell", "raw"))
    out, _ = server.communicate(timeout=60)   # the end of its input is its end
    assert out == ""
    assert server.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_leaves_nothing(number, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = start()
    server.stdin.write(json.dumps(HELLO) + "\n")
    server.stdin.flush()
    assert json.loads(server.stdout.readline())["id"] == 1
    assert os.listdir(tmp_path) != []
    server.send_signal(number)
    assert server.wait(60) == 128 + number
    assert "Traceback" not in server.stderr.read()
    assert os.listdir(tmp_path) == []
    for stream in (server.stdin, server.stdout, server.stderr):
        stream.close()


@pytest.mark.parametrize(("words", "code", "reason"), [
    (["--workspace", "/nowhere"], 2, "no such folder"), (["--sandbox", "cotton"], 2, "cotton"), (["--nothing"], 2, "See: codeact mcp --help"),
    (["--python", "/nowhere/python"], 2, "no such program"), (["--timeout", "0"], 2, "positive")])  # fmt: skip
def test_flags_that_make_no_sense_are_told_on_standard_error(words, code, reason):
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_is_told_how_to_install_it(tmp_path):
    (tmp_path / "mcp.py").write_text("raise ImportError(name='mcp')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, "pip install 'codeact[mcp]'" in done.stderr) == (2, True), done.stderr
