"""What the service's requests do with real sessions; and that nothing a client or a cell does ends it."""

import base64
import json
import threading
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")

from codeact import Interpreter, Limits
from codeact.server.sessions import Sessions

CODES = ["x = 1\nx + 1", "print('a', end='')", "1 / 0", "def", "", "\x00", "display(1)", "!echo hi",
         "print('\\ud800')", "raise ValueError('\\ud800')", "float('nan')", "# ümläut 🎉\n'ü'"]  # fmt: skip


@pytest.fixture(autouse=True)
def lives(request):
    """After every test the service still answers."""
    yield
    if "service" in request.fixturenames:
        assert request.getfixturevalue("service").get("/health").json()["status"] == "ok"


def run(client, path, code, **options):
    answer = client.post(f"{path}/run", json={"code": code, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status: int, code: str) -> str:
    assert (answer.status_code, answer.json().get("error")) == (status, code), answer.text
    assert set(answer.json()) == {"error", "message"}
    return answer.json()["message"]


def events(client, path, code, **options):
    """The events of a streamed run: types and data."""
    with client.stream("POST", f"{path}/run", json={"code": code, "stream": True, **options}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    found = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            kind, data = block.split("\n")
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert all(kind == data["type"] for kind, data in found)
    return found


# As clients of the original's engine ------------------------------------------------------------------------------------


def test_a_client_of_the_original_works_unchanged(serve):
    client = serve(token=None)

    def execute(convid, code):
        # requests.post(url, data=json.dumps(...)) sends just this: no Content-Type
        answer = client.post("/execute", content=json.dumps({"convid": convid, "code": code}))
        return answer.json()

    assert execute("one", "x = 6") == {"result": "[Code executed successfully with no output]", "new_kernel_created": True}
    assert execute("one", "x * 7") == {"result": "42\n", "new_kernel_created": False}
    other = execute("two", "x")
    assert other["new_kernel_created"]
    assert "NameError" in other["result"]
    assert execute("one", "print('a'); 1/0")["result"].startswith("a\n----")


def test_a_conversation_may_have_any_name_and_fields_nobody_knows(service):
    body = {"convid": "a b%ü?\n", "code": "1", "more": [1]}
    assert service.post("/execute", json=body).json() == {"result": "1\n", "new_kernel_created": True}
    assert service.post("/execute", json=body).json()["new_kernel_created"] is False
    assert service.delete(f"/sessions/{quote(body['convid'])}").status_code == 204
    refused(service.post("/execute", json={"convid": "a/b", "code": "1"}), 422, "invalid")


# Sessions ---------------------------------------------------------------------------------------------------------------


def test_sessions_are_made_listed_shown_and_deleted(service):
    made = service.post("/sessions", json={"id": "mine", "style": "mint"}).json()
    assert {key: made[key] for key in ("id", "state", "style")} == {"id": "mine", "state": "idle", "style": "mint"}
    assert service.get("/sessions/mine").json()["level"] == made["level"]
    assert "mine" in [session["id"] for session in service.get("/sessions").json()["sessions"]]
    refused(service.post("/sessions", json={"id": "mine"}), 409, "exists")
    assert service.delete("/sessions/mine").status_code == 204
    refused(service.delete("/sessions/mine"), 404, "unknown_session")


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "", None), ("DELETE", "", None), ("POST", "/run", {"code": "1"}), ("POST", "/interrupt", None),
    ("POST", "/run", {"code": "1", "stream": True}), ("POST", "/reset", None), ("POST", "/branch", {}),
    ("GET", "/checkpoints", None), ("POST", "/checkpoints", {"name": "a"}), ("POST", "/restore", {"name": "a"}),
    ("POST", "/undo", {}), ("GET", "/variables", None),
    ("GET", "/files", None), ("GET", "/files/a", None)])  # fmt: skip
def test_an_unknown_session_is_told_everywhere(service, method, path, body):
    message = refused(service.request(method, f"/sessions/nobody{path}", json=body), 404, "unknown_session")
    assert "POST /sessions makes one" in message


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"code": 1}', b'{"code": null}', b'{"code": "1", "timeout": 0}',
    b'{"code": "1", "timeout": NaN}', b'{"code": "1", "timeout": 1e999}', b'{"code": "1", "more": 1}',
    b'\xff\xfe{"code": 1}', b"[" * 100_000, b'{"code": ' + b"9" * 10_000 + b"}",
    b'{"code": "1", "stream": "perhaps"}'])  # fmt: skip
def test_a_body_that_makes_no_sense_is_told_what_would(service, session, body):
    answer = service.post(f"{session}/run", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 415, 422), answer.text
    assert "GET /openapi.json" in answer.json()["message"] or "Content-Type" in answer.json()["message"]
    assert answer.text.isascii()
    assert run(service, session, "1")["text"] == "Out[1]: 1"


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a b", "-" * 101, "\u00fc", "a\n", 1])
def test_a_name_that_fits_no_path_is_refused(service, id):
    refused(service.post("/sessions", json={"id": id}), 422, "invalid")


def test_a_path_or_method_that_does_not_exist_is_told(service):
    refused(service.get("/nowhere"), 404, "unknown_path")
    refused(service.put("/sessions", json={}), 405, "wrong_method")
    refused(service.get("/docs"), 404, "unknown_path")
    refused(service.get("/redoc"), 404, "unknown_path")


def test_a_body_that_is_too_long_is_refused_and_nothing_is_run(serve):
    client = serve(app={"max_json": 1000})
    refused(client.post("/execute", json={"convid": "a", "code": "#" * 1000}), 413, "too_large")

    def pieces():
        yield b'{"convid": "a", "code": "'
        for _ in range(1000):
            yield b"#"

    answer = client.post("/execute", content=pieces(), headers={"Content-Type": "application/json"})
    refused(answer, 413, "too_large")
    assert client.get("/sessions").json() == {"sessions": []}


# Running ----------------------------------------------------------------------------------------------------------------


def test_variables_stay_and_a_result_has_everything(service, session):
    result = run(service, session, "import sys\nopen('a.txt', 'w').close()\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert (result["stdout"], result["stderr"], result["files"]) == ("out\n", "err\n", ["a.txt"])
    assert (result["text"], result["number"], result["status"]) == ("out\nerr\nOut[1]: 42", 1, "ok")
    failed = run(service, session, "sys.nothing")
    assert (failed["status"], failed["error"]["name"]) == ("error", "AttributeError")


@pytest.mark.parametrize("code", CODES)
def test_a_streamed_run_ends_as_the_other_does(service, session, code):
    streamed = events(service, session, code)
    assert streamed[0] == ("code", {"type": "code", "code": code})
    plain = run(service, session, code)
    kind, last = streamed[-1]
    assert kind == "result"
    assert {key: last[key] for key in ("status", "stdout", "stderr")} == {key: plain[key] for key in ("status", "stdout", "stderr")}


def test_halves_of_characters_in_code_do_no_harm(service, session):
    for stream in ("false", "true"):
        body = b'{"code": "print(1)\\n\'\\ud800\'", "stream": ' + stream.encode() + b"}"
        answer = service.post(f"{session}/run", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        assert "UnicodeEncodeError" in answer.text
        assert answer.text.isascii()


def test_output_is_streamed_as_it_comes_and_displays_as_events_spell_them(service, session):
    streamed = events(service, session, "print('one')\nprint('two')\n"
                                        "class Dot:\n    def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n'\n"
                                        "display(Dot())\n'v'")
    assert "".join(data["text"] for kind, data in streamed if kind == "output") == "one\ntwo\n'v'\n"
    display, = (data for kind, data in streamed if kind == "display")
    assert base64.b64decode(display["bundle"]["image/png"]["base64"]).startswith(b"\x89PNG")


def test_what_keeps_a_stream_from_beginning_has_a_status_of_its_own(serve):
    def open(**arguments):
        if arguments["style"] == "mint":
            from codeact import SandboxUnavailable

            raise SandboxUnavailable("no walls")
        return Interpreter(**arguments)

    client = serve(Sessions(open=open))
    refused(client.post("/sessions", json={"style": "mint"}), 503, "no_walls")
    assert client.get("/sessions").json() == {"sessions": []}


def test_a_time_limit_of_a_run_is_kept(service, session):
    result = run(service, session, "x = 1\nwhile True: pass", timeout=1.5)
    assert (result["status"], result["error"]["name"]) == ("timeout", "TimeoutError")
    assert run(service, session, "x")["text"] == "Out[2]: 1"


def test_a_crash_is_a_result_and_loses_nothing(service, session):
    run(service, session, "x = 1")
    result = run(service, session, "import os; os._exit(1)")
    assert (result["status"], result["restored"], result["lost"]) == ("died", True, [])
    assert run(service, session, "x")["text"] == "Out[3]: 1"


def in_thread(function):
    """Run in a thread; the list gets its result."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    return thread, found


@pytest.fixture
def gate(serve):
    """A service whose cells can wait for the test: its client, what is set when a cell waits, and what lets it go on."""
    waits, go = threading.Event(), threading.Event()

    def wait() -> str:
        """Wait for the test."""
        waits.set()
        assert go.wait(60)
        return "done"

    client = serve(Sessions({"tools": [wait], "limits": Limits(wall_seconds=60)}))
    yield client, waits, go
    go.set()


def test_two_runs_at_once_on_one_session_are_told_and_both_it_and_others_live(gate):
    client, waits, go = gate
    for id in ("a", "b"):
        client.post("/sessions", json={"id": id})
    thread, found = in_thread(lambda: run(client, "/sessions/a", "x = wait()\nx"))
    assert waits.wait(60)
    for body in ({"code": "1"}, {"code": "1", "stream": True}):
        assert "interrupt" in refused(client.post("/sessions/a/run", json=body), 409, "busy")
    refused(client.get("/sessions/a/files"), 409, "busy")
    refused(client.post("/execute", json={"convid": "a", "code": "1"}), 409, "busy")
    assert client.get("/sessions/a").json()["state"] == "running"
    assert run(client, "/sessions/b", "1 + 1")["text"] == "Out[1]: 2"
    go.set()
    thread.join()
    assert found[0]["text"] == "Out[1]: 'done'"
    assert run(client, "/sessions/a", "x")["text"] == "Out[2]: 'done'"


def test_many_waiting_cells_hold_nobody_up(gate):
    client, waits, go = gate
    threads = [in_thread(lambda id=id: run(client, f"/sessions/{id}", "wait()")) for id in range(12)
               if client.post("/sessions", json={"id": str(id)})]  # fmt: skip
    assert waits.wait(60)
    assert client.post("/execute", json={"convid": "other", "code": "1"}).json()["result"] == "1\n"
    assert len(client.get("/sessions").json()["sessions"]) == 13
    go.set()
    for thread, found in threads:
        thread.join()
        assert found[0]["status"] == "ok"


def test_an_interrupt_stops_the_cell_and_keeps_its_variables(gate):
    client, waits, _ = gate
    client.post("/sessions", json={"id": "a"})
    assert client.post("/sessions/a/interrupt").json() == {"interrupted": False}
    thread, found = in_thread(lambda: run(client, "/sessions/a", "x = 1\nwait()"))
    assert waits.wait(60)
    assert client.post("/sessions/a/interrupt").json() == {"interrupted": True}
    thread.join()
    assert found[0]["status"] == "interrupted"
    assert run(client, "/sessions/a", "x")["text"] == "Out[2]: 1"


def test_a_session_is_deleted_also_while_it_runs(gate):
    client, waits, _ = gate
    client.post("/sessions", json={"id": "a"})
    thread, found = in_thread(lambda: client.post("/sessions/a/run", json={"code": "wait()"}))
    assert waits.wait(60)
    assert client.delete("/sessions/a").status_code == 204
    thread.join()
    assert found[0].status_code in (200, 410)
    refused(client.get("/sessions/a"), 404, "unknown_session")


def test_a_slow_start_holds_nobody_up(serve):
    starts, go = threading.Event(), threading.Event()

    def open(**arguments):
        if arguments["style"] == "mint":
            starts.set()
            assert go.wait(60)
        return Interpreter(**arguments)

    client = serve(Sessions(open=open))
    thread, found = in_thread(lambda: client.post("/sessions", json={"id": "slow", "style": "mint"}))
    assert starts.wait(60)
    assert client.get("/sessions/slow").json()["state"] == "starting"
    refused(client.post("/sessions/slow/run", json={"code": "1"}), 409, "busy")
    assert client.post("/execute", json={"convid": "quick", "code": "1"}).json()["result"] == "1\n"
    go.set()
    thread.join()
    assert found[0].status_code == 201


def test_a_session_that_is_gone_is_told_and_forgotten(serve):
    class Dead:
        level = 3
        workspace = None

        def run(self, *_, **__):
            from codeact import InterpreterGone

            raise InterpreterGone("no process can be started")

        def close(self):
            pass

        interrupt = close

    client = serve(Sessions(open=lambda **_: Dead()))
    client.post("/sessions", json={"id": "a"})
    assert "make a new one" in refused(client.post("/sessions/a/run", json={"code": "1"}), 410, "gone")
    refused(client.get("/sessions/a"), 404, "unknown_session")
    client.post("/sessions", json={"id": "a"})
    assert events(client, "/sessions/a", "1")[-1][1]["error"] == "gone"


# States -----------------------------------------------------------------------------------------------------------------


def test_a_marked_state_comes_back(service, session):
    run(service, session, "x = 1")
    mark = service.post(f"{session}/checkpoints", json={"name": "one"})
    assert (mark.status_code, mark.json()["name"], mark.json()["cells"]) == (201, "one", 1)
    run(service, session, "x = 2")
    assert [found["name"] for found in service.get(f"{session}/checkpoints").json()["checkpoints"]] == ["one"]
    assert service.post(f"{session}/restore", json={"name": "one"}).json() == {"lost": []}
    assert run(service, session, "x")["stdout"] == ""
    assert run(service, session, "print(x)")["stdout"] == "1\n"
    message = refused(service.post(f"{session}/restore", json={"name": "two"}), 404, "unknown_checkpoint")
    assert "there are: one" in message


def test_the_last_cells_are_taken_back(service, session):
    for code in ("x = 1", "x = 2; open('a', 'w').write('two')", "x = 3"):
        run(service, session, code)
    assert service.post(f"{session}/undo", json={}).json() == {"lost": []}
    assert run(service, session, "print(x)")["stdout"] == "2\n"
    assert service.post(f"{session}/undo", json={"n": 2}).json() == {"lost": []}
    assert run(service, session, "print(x)")["stdout"] == "1\n"
    assert service.get(f"{session}/files").json()["files"] == []
    assert service.post(f"{session}/undo", json={"n": 1000}).json() == {"lost": []}
    assert service.get(f"{session}/variables").json() == {"variables": []}


@pytest.mark.parametrize("body", [{"n": 0}, {"n": -1}, {"n": "two"}, {"n": 1.5}, {"n": 10 ** 30}, {"cells": 1}, None])
def test_what_is_no_number_of_cells_takes_nothing_back(service, session, body):
    run(service, session, "x = 1")
    refused(service.post(f"{session}/undo", json=body), 422, "invalid")
    assert run(service, session, "print(x)")["stdout"] == "1\n"


def test_variables_are_told_in_the_order_they_were_made(service, session):
    run(service, session, "rows = [1, 2]\nimport math\ntext = '\\udcff' * 3\nclass Bad:\n"
                          "    def __repr__(self): raise SystemExit\nbad = Bad()")
    found = service.get(f"{session}/variables").json()["variables"]
    assert [variable["name"] for variable in found] == ["rows", "text", "Bad", "bad"]
    assert {key: found[0][key] for key in ("type", "shape", "length", "preview")} == {
        "type": "list", "shape": None, "length": 2, "preview": "[1, 2]"}
    assert found[0]["size"] > 0


def test_a_reset_forgets_variables_and_keeps_files(service, session):
    run(service, session, "x = 1; open('a', 'w').close()")
    assert service.post(f"{session}/reset").status_code == 200
    assert run(service, session, "'x' in globals()")["text"].endswith("False")
    assert [file["path"] for file in service.get(f"{session}/files").json()["files"]] == ["a"]


@pytest.mark.skipif(hasattr(Interpreter, "branch"), reason="sessions can be branched here")
def test_where_sessions_cannot_be_branched_it_is_told(service, session):
    refused(service.post(f"{session}/branch", json={}), 409, "impossible")


@pytest.mark.skipif(not hasattr(Interpreter, "branch"), reason="this interpreter cannot branch")
def test_a_branch_begins_with_the_state_and_goes_its_own_way(service, session):
    run(service, session, "x = 1")
    twin = f"/sessions/{service.post(f'{session}/branch', json={}).json()['id']}"
    run(service, twin, "x += 1")
    assert run(service, twin, "print(x)")["stdout"] == "2\n"
    assert run(service, session, "print(x)")["stdout"] == "1\n"
    service.delete(twin)


@pytest.mark.skipif(not hasattr(Interpreter, "save"), reason="this interpreter cannot be saved")
def test_an_idle_session_is_saved_and_comes_back_with_its_variables_and_a_note(serve):
    sessions = Sessions(idle_seconds=600)
    client = serve(sessions)
    client.post("/execute", json={"convid": "a", "code": "x = 41"})
    sessions.get("a").used -= 1000
    assert sessions.put_idle_away() == 1
    assert client.get("/sessions/a").json()["state"] == "saved"
    answer = client.post("/execute", json={"convid": "a", "code": "x + 1"}).json()
    assert answer["new_kernel_created"] is False
    assert answer["result"].startswith("[This session was saved while it was idle, and is back.]\n42\n")
    assert client.post("/execute", json={"convid": "a", "code": "x"}).json()["result"] == "41\n"


# Files ------------------------------------------------------------------------------------------------------------------


def put(client, session, path, data):
    return client.put(f"{session}/files/{path}", content=data, headers={"Content-Type": "application/octet-stream"})


@pytest.mark.parametrize("name", ["a.csv", "deep/er/b.bin", "with%20blank", "%C3%BC.txt", "a%22b%0Dc.txt"])
def test_a_file_goes_in_is_seen_by_cells_and_comes_out(service, session, name):
    data = bytes(range(256)) * 5000
    answer = put(service, session, name, data)
    assert (answer.status_code, answer.json()["size"]) == (201, len(data))
    code = f"open({answer.json()['path']!r}, 'ab').write(b'!')"
    assert run(service, session, code)["status"] == "ok"
    out = service.get(f"{session}/files/{name}")
    assert out.content == data + b"!"
    assert out.headers["content-disposition"] == "attachment; filename*=UTF-8''" + name.rpartition("/")[2]
    assert (out.headers["content-type"], out.headers["x-content-type-options"]) == ("application/octet-stream", "nosniff")


def test_an_empty_file_goes_in_and_out(service, session):
    assert put(service, session, "empty", b"").json()["size"] == 0
    assert service.get(f"{session}/files/empty").content == b""


@pytest.mark.parametrize("path", ["../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "%2e%2e", "%2e", "a/../../b",
                                  "", "a%00b", "x" * 2000])  # fmt: skip
def test_no_path_leads_out_of_the_workspace(service, session, path):
    spelled = path if "%" in path else quote(path, safe="")
    for answer in (service.get(f"{session}/files/{spelled}"), put(service, session, spelled, b"x")):
        assert answer.status_code in (400, 404, 405), answer.text
        assert "root:" not in answer.text
        assert answer.json()["message"]


def test_no_link_of_a_cell_leads_out_of_the_workspace(service, session, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    run(service, session, f"import os\nos.symlink({str(secret)!r}, 'link')\nos.symlink({str(tmp_path)!r}, 'folder')\n"
                          "os.symlink('/etc', 'etc'); os.mkfifo('pipe')")
    for path in ("link", "folder/secret", "etc/passwd", "pipe"):
        refused(service.get(f"{session}/files/{path}"), 404, "unknown_file")
    assert put(service, session, "link", b"mine").status_code == 201
    refused(put(service, session, "folder/secret", b"mine"), 400, "bad_path")
    assert secret.read_text() == "s3cret"
    assert [file["path"] for file in service.get(f"{session}/files").json()["files"]] == ["link"]


def test_an_upload_that_is_too_large_leaves_the_file_as_it_was(serve):
    client = serve(app={"max_upload": 1000})
    client.post("/sessions", json={"id": "a"})
    put(client, "/sessions/a", "f", b"old")

    def pieces():
        for _ in range(11):
            yield b"x" * 100

    for data in (b"x" * 1001, pieces()):
        refused(put(client, "/sessions/a", "f", data), 413, "too_large")
    assert client.get("/sessions/a/files/f").content == b"old"
    assert len(client.get("/sessions/a/files").json()["files"]) == 1


def test_names_that_no_text_can_spell_are_listed_all_the_same(service, session):
    run(service, session, "import os; open(b'\\xff\\xfe', 'w').close(); raise ValueError(os.listdir('.')[-1] + '\\ud800')")
    answer = service.get(f"{session}/files")
    assert answer.status_code == 200
    assert answer.json()["complete"]


# The schema -------------------------------------------------------------------------------------------------------------


def test_the_schema_names_every_path_and_needs_the_token(service):
    schema = service.get("/openapi.json").json()
    assert {"/execute", "/sessions", "/sessions/{id}/run", "/sessions/{id}/files/{path}"} <= set(schema["paths"])
    assert service.get("/openapi.json", headers={"Authorization": ""}).status_code == 401


def test_tool_calls_of_a_cell_are_streamed_as_events(serve):
    def double(n: int) -> int:
        """Twice n."""
        return 2 * n

    client = serve(Sessions({"tools": [double], "limits": Limits(wall_seconds=60)}))
    client.post("/sessions", json={"id": "a"})
    streamed = events(client, "/sessions/a", "double(21)")
    [(_, called)] = [one for one in streamed if one[0] == "tool_called"]
    assert (called["tool"], called["arguments"], called["error"]) == ("double", {"n": "21"}, None)
