"""The service as a user starts it: a process of its own, spoken to over loopback."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from running import COMMAND, started

from codeact.errors import ConfigError
from codeact.server.serve import serve
from codeact.server.sessions import Sessions


def refused(*words: str) -> str:
    """That it does not start with these, and why."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(holds) -> bool:
    deadline = time.monotonic() + 30
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def test_a_service_answers_with_its_token_alone_and_ctrl_c_ends_it_and_all_it_has_started():
    with started() as service:
        assert "walls of level" in service.words or "NO WALLS" in service.words
        assert service.execute("x = 41") == "[Code executed successfully with no output]"
        assert service.execute("x + 1") == "42\n"
        status, body = service.ask("POST", "/execute", {"convid": "a", "code": "1"}, {"Authorization": "Bearer wrong"})
        assert (status, body["error"]) == (401, "unauthorized")
        below = service.below()
        assert below
        code, words = service.end()
        assert (code, words) == (130, "")
        assert wait_until(lambda: all(map(gone, below)))


def test_ctrl_c_stops_the_running_cell_and_its_request_is_answered():
    with started() as service:
        service.execute("1")
        answers = []
        running = threading.Thread(target=lambda: answers.append(service.execute("open('begun', 'w').close()\nwhile True: pass")))
        running.start()
        # A session in use has no files to list: by its state, then
        assert wait_until(lambda: service.ask("GET", "/sessions")[1]["sessions"][0]["state"] == "running")
        code, words = service.end()
        running.join()
        assert "KeyboardInterrupt" in answers[0]
        assert (code, words) == (130, "")


def test_a_service_that_is_told_to_end_leaves_no_folder(tmp_path):
    with started(env={**os.environ, "TMPDIR": str(tmp_path)}) as service:
        service.execute("1")
        assert os.listdir(tmp_path) != []
        assert service.end(signal.SIGTERM) == (143, "")
        assert os.listdir(tmp_path) == []


def test_the_kill_of_a_service_leaves_no_process():
    with started() as service:
        service.execute("import subprocess; subprocess.Popen(['sleep', '1000'])")
        below = service.below()
        assert len(below) > 2
        service.process.kill()
        service.process.wait(60)
        assert wait_until(lambda: all(map(gone, below))), [pid for pid in below if not gone(pid)]


def test_output_streams_over_the_wire_before_the_cell_ends(tmp_path):
    with started() as service:
        service.ask("POST", "/sessions", {"id": "a"})
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        code = "print('first', flush=True)\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('second')"
        connection.request("POST", "/sessions/a/run", json.dumps({"code": code, "stream": True}),
                           {**service.headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        lines = []
        while not any("first" in line for line in lines[-1:]) or '"output"' not in lines[-1]:
            lines.append(answer.readline().decode())
            assert lines[-1], lines
        assert service.ask("GET", "/sessions/a")[1]["state"] == "running"
        service.ask("POST", "/sessions/a/interrupt")
        rest = answer.read().decode()
        assert '"status": "interrupted"' in rest
        connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_its_cell_and_the_variables_are_kept(stream):
    with started() as service:
        service.ask("POST", "/sessions", {"id": "a"})
        service.ask("POST", "/sessions/a/run", {"code": "x = 1"})
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        connection.request("POST", "/sessions/a/run", json.dumps({"code": "while True: pass", "stream": stream}),
                           {**service.headers, "Content-Type": "application/json"})
        assert wait_until(lambda: service.ask("GET", "/sessions/a")[1]["state"] == "running")
        connection.close()
        assert wait_until(lambda: service.ask("GET", "/sessions/a")[1]["state"] == "idle")
        answer = service.ask("POST", "/sessions/a/run", {"code": "x"})[1]
        assert (answer["text"], answer["number"]) == ("Out[3]: 1", 3)
        assert service.end()[0] == 130


def test_garbage_on_the_wire_does_no_harm():
    with started() as service:
        for garbage in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /execute HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
                        b"A" * 200_000, b"\x16\x03\x01\x02\x00\x01"):  # fmt: skip
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                connection.sendall(garbage)
        assert service.execute("1") == "1\n"


def test_the_token_of_a_file_is_taken_and_a_missing_file_is_made(tmp_path):
    file = tmp_path / "token"
    with started("--token-file", str(file)) as service:
        token = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        assert token not in service.words
        assert service.ask("GET", "/health", headers={"Authorization": f"Bearer {token}"})[0] == 200
    with started("--token-file", str(file)) as service:
        assert service.ask("GET", "/health", headers={"Authorization": f"Bearer {token}"})[0] == 200


@pytest.mark.parametrize("content", ["", "\n", "short", "with blanks in the middle", "ü" * 30, "\x00" * 30])
def test_a_file_that_holds_no_token_is_refused(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    assert "token" in refused("--token-file", str(file))


def test_without_a_token_the_service_is_for_this_machine_alone(tmp_path):
    with started("--no-token") as service:
        assert service.execute("1") == "1\n"
        assert service.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 403
        assert service.ask("GET", "/health", headers={"Origin": "http://evil.example"})[0] == 403
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org"):
        assert "loopback only" in refused("--no-token", "--host", host)


def test_a_socket_that_others_can_reach_is_not_served_without_a_token_whoever_asks():
    class Listener:
        def getsockname(self):
            return "192.0.2.1", 8000

    with pytest.raises(ConfigError, match="for this machine alone"):
        serve(Sessions(), Listener(), host="127.0.0.1", token=None)


@pytest.mark.parametrize(("words", "reason"), [
    (["print(1)"], "takes its code from requests"), (["--json"], "takes its code from requests"),
    (["--no-token", "--token-file", "x"], "opposite"), (["--host", "no such host"], "cannot listen"),
    (["--host", "192.0.2.1"], "cannot listen"), (["--workspace", "/nowhere", "--live"], "no such folder"), (["--workspace", "."], "say --live"),
    (["--token-file", "/nowhere/token"], "cannot write"), (["--max-sessions", "0"], "positive")])  # fmt: skip
def test_flags_that_make_no_sense_are_told(words, reason):
    assert reason in refused(*words)


@pytest.mark.parametrize("port", ["-1", "65536", "x", "", "8000.5"])
def test_a_port_that_is_none_is_told(port):
    done = subprocess.run([*COMMAND[:-1], port], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "is no port" in done.stderr) == (2, True) or "expected one argument" in done.stderr


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run([*COMMAND[:-1], str(taken.getsockname()[1])], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "try another port" in done.stderr) == (2, True)


def test_the_flags_of_a_service_need_it():
    done = subprocess.run([*COMMAND[:-2], "--no-token", "1"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "--serve PORT" in done.stderr) == (2, True)


def test_without_the_extra_it_is_told_how_to_install_it(tmp_path):
    (tmp_path / "uvicorn.py").write_text("raise ImportError(name='uvicorn')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, "pip install 'codeact[serve]'" in done.stderr) == (2, True), done.stderr
