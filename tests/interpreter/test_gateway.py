"""Sessions that may reach a list of hosts: real walls of level 3, the real proxy, origin servers of the tests' own."""

import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
from origins import Door, Origin, proxying

from codeact import Agent, Interpreter, NetworkRequest, SandboxUnavailable
from codeact.addresses import why_refused
from codeact.interpreter import proxy, supervisor
from codeact.interpreter.gateway import PROXY_PORT
from codeact.interpreter.pool import Pool
from codeact.interpreter.supervisor import Settings, pool_of, zygote_of
from codeact.models.scripted import ScriptedModel


@pytest.fixture(scope="module", autouse=True)
def level():
    try:
        Interpreter(sandbox=3, imports=()).close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def origin():
    one = Origin()
    yield one
    one.close()


@pytest.fixture
def use(monkeypatch):
    """Puts a proxy in the place of the one that the process has for all."""
    return lambda serving: monkeypatch.setattr(proxy, "shared", lambda: serving)


@pytest.fixture(autouse=True)
def serving(use):
    """Takes every name to loopback."""
    with proxying() as one:
        use(one)
        yield one


@pytest.fixture
def make():
    made = []

    def make(network, **options):
        made.append(Interpreter(network=network, imports=(), **options))
        return made[-1]

    yield make
    for py in made:
        py.close()


@pytest.fixture
def py(make, origin):
    """May reach `origin.test` at the origin's port."""
    return make([f"origin.test:{origin.port}"])


FETCH = """
import urllib.request, urllib.error
def fetch(url, data=None):
    try:
        with urllib.request.urlopen(url, data, timeout=50) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError as error:
        return error.reason
"""


def test_urllib_fetches_from_a_host_on_the_list_and_from_no_other(py, origin):
    py.run(FETCH)
    assert py.run(f"fetch('http://origin.test:{origin.port}/x')").text.endswith("(200, b'ok')")
    assert origin.wait().startswith(f"GET /x HTTP/1.1\r\nHost: origin.test:{origin.port}\r\n".encode())
    refused = py.run("print(fetch('http://evil.test/')[1])").stdout
    assert "evil.test:80 cannot be reached from this session: it is not on the list.\n" in refused
    assert f"Allowed hosts: origin.test:{origin.port}\n" in refused
    tunnel = py.run("print(fetch('https://evil.test/'))").stdout
    assert f"403 evil.test:443 refused: it is not on the list. Allowed hosts: origin.test:{origin.port}" in tunnel
    assert all(isinstance(entry, NetworkRequest) for entry in py.network_log)
    assert [(entry.method, entry.host, entry.allowed, entry.received > 0) for entry in py.network_log] == [
        ("GET", "origin.test", True, True), ("GET", "evil.test", False, False), ("CONNECT", "evil.test", False, False)]
    assert py.level == 3


def test_programs_started_by_a_cell_find_the_proxy_too(py, origin):
    code = f"import urllib.request as u; print(u.urlopen('http://origin.test:{origin.port}/', timeout=50).read())"
    assert py.run(f"import subprocess, sys\nsubprocess.check_output([sys.executable, '-c', {code!r}])").text.endswith("b\"b'ok'\\n\"")


def test_private_addresses_are_refused_whatever_name_leads_there(make, origin, use):
    for address in ("127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
        with proxying(resolver=lambda host, port, address=address: [address], check=why_refused) as serving:
            use(serving)
            py = make([f"origin.test:{origin.port}"])
            py.run(FETCH)
            result = py.run(f"print(fetch('http://origin.test:{origin.port}/'))")
            assert "only public addresses can be reached" in result.stdout
            assert not py.network_log[-1].allowed
            py.close()
    assert origin.connections == []


def test_there_is_no_other_way_out(py, origin):
    result = py.run(f"""
import errno, socket
def attempt(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.settimeout(2)
        try:
            sock.connect(address)
            sock.send(b'x')
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
[attempt(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {origin.port})), attempt(socket.AF_INET, socket.SOCK_STREAM, ('1.1.1.1', 443)),
 attempt(socket.AF_INET, socket.SOCK_DGRAM, ('1.1.1.1', 53)), attempt(socket.AF_INET6, socket.SOCK_STREAM, ('2606:4700::1111', 443)),
 attempt(socket.AF_INET, socket.SOCK_STREAM, ('169.254.169.254', 80))]""")
    assert result.error is None, result.text
    assert "None" not in result.text
    assert py.run("import socket; socket.getaddrinfo('origin.test', 80)").error.name == "gaierror"
    assert origin.connections == []


def test_a_cell_neither_holds_the_listener_nor_can_take_its_place(py, origin):
    assert py.run(f"import socket\ntaken = socket.socket()\ntaken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
                  f"taken.bind(('127.0.0.1', {PROXY_PORT}))").error.name == "OSError"
    held = py.run("import os\n[os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')]")
    assert held.error is None
    assert py.run(FETCH + f"fetch('http://origin.test:{origin.port}/')").text.endswith("(200, b'ok')")


def test_each_session_has_its_own_list(make, origin):
    other = Origin(lambda request: b"HTTP/1.1 200 OK\r\n\r\nother")
    one, two, none = make([f"one.test:{origin.port}"]), make([f"two.test:{other.port}"]), make("none")
    for py in (one, two, none):
        py.run(FETCH)
    assert one.run(f"fetch('http://one.test:{origin.port}/')").text.endswith("(200, b'ok')")
    assert two.run(f"fetch('http://two.test:{other.port}/')").text.endswith("(200, b'other')")
    assert "Allowed hosts: two.test" in two.run(f"fetch('http://one.test:{origin.port}/')").text
    assert none.run(f"fetch('http://one.test:{origin.port}/')").text.count("gaierror") == 1
    assert none.run(f"import socket; socket.create_connection(('127.0.0.1', {PROXY_PORT}), 2)").error.name == "ConnectionRefusedError"
    assert none.network_log == ()
    assert [entry.host for entry in one.network_log] == ["one.test"]
    other.close()


def test_a_server_inside_the_session_is_reached_without_the_proxy(py):
    result = py.run("""
import http.server, threading, urllib.request
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
status = urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/', timeout=50).status
server.shutdown(); server.server_close()
status""")
    assert result.text.endswith("204")
    assert py.network_log == ()


# States ---------------------------------------------------------------------------------------------------------------


def test_the_network_is_there_after_a_crash_and_the_log_goes_on(py, origin):
    py.run(FETCH + f"first = fetch('http://origin.test:{origin.port}/')")
    assert py.run("import os; os._exit(1)").restored
    assert py.run(f"first, fetch('http://origin.test:{origin.port}/')").text.endswith("((200, b'ok'), (200, b'ok'))")
    assert len(py.network_log) == 2


def test_the_network_is_there_in_a_new_session_after_the_keeper_is_gone(py, origin):
    py.run(FETCH)
    session = py._backend._session
    signal.pidfd_send_signal(session.keeper.pidfd, signal.SIGKILL)
    while py._backend._session is session:
        py.run("1")   # until its end is noticed, before a cell or in it
    result = py.run(f"fetch('http://origin.test:{origin.port}/')")
    assert py._backend._session is not session
    assert result.text.endswith("(200, b'ok')"), result.text


THREAD = "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()\n"


@pytest.mark.parametrize("cell", ["answer = fetch('{url}')", "try:\n    answer = fetch('{url}')\nexcept OSError:\n    answer = None"])
def test_a_cell_that_used_the_network_is_not_run_a_second_time(py, origin, cell):
    """A thread forbids a frozen copy, so that going back is to replay."""
    py.run(THREAD)
    py.run(FETCH)
    py.run(cell.format(url=f"http://origin.test:{origin.port}/"))
    origin.wait()
    result = py.run("import os; os._exit(1)")
    assert any("used the network, which is not used a second time" in lost for lost in result.lost), result.lost
    assert len(origin.connections) == 1
    assert len(py.network_log) == 1


def test_a_replay_finds_the_proxy_shut(py, origin):
    """Where a cell asks in its replay alone: the door is shut, not only the cell remembered."""
    py.run(THREAD)
    py.run(FETCH)
    py.run("import pathlib, socket, time")
    backend = py._backend
    with backend._gateway.suspended():
        result = py.run(f"print(fetch('http://origin.test:{origin.port}/'))")
        assert "must not act on the network a second time" in result.stdout
    assert py.run(f"fetch('http://origin.test:{origin.port}/')").text.endswith("(200, b'ok')")
    assert len(origin.connections) <= 1


def test_going_back_cuts_what_was_open(py, origin):
    py.run(f"import socket\ntunnel = socket.create_connection(('127.0.0.1', {PROXY_PORT}), 10)\n"
           f"tunnel.sendall(b'CONNECT origin.test:{origin.port} HTTP/1.1\\r\\n\\r\\n')\nassert b' 200 ' in tunnel.recv(100)")
    mark = py.checkpoint()
    assert py.run("tunnel.sendall(b'GET / HTTP/1.1\\r\\n')").error is None
    assert py.restore(mark) == []
    # Two states must not write to one stream: the copy finds its end
    assert py.run("tunnel.recv(100)").text.endswith("b''") or py.run("tunnel.recv(100)").error.name == "ConnectionResetError"
    assert origin.wait() == b"GET / HTTP/1.1\r\n"


def test_closing_the_interpreter_ends_its_connections_and_its_namespace(make, origin, serving):
    py = make([f"origin.test:{origin.port}"])
    py.run(f"import socket\ntunnel = socket.create_connection(('127.0.0.1', {PROXY_PORT}), 10)\n"
           f"tunnel.sendall(b'CONNECT origin.test:{origin.port} HTTP/1.1\\r\\n\\r\\n')\ntunnel.recv(100)")
    py.close()
    assert origin.wait() == b""
    assert serving._served == {}
    assert len(py.network_log) == 1


# What is asked for ----------------------------------------------------------------------------------------------------


def test_a_list_shares_the_zygote_of_sessions_without_network_and_leaves_their_standby_sessions_alone(make):
    make("none")
    zygote = zygote_of(Settings(imports=()))
    py = make(["a.example"])
    assert zygote_of(Settings(imports=(), proxied=True)) is zygote
    standing_by = [session for waiting in pool_of(Settings(imports=()))._standing_by.values() for session in waiting]
    assert py._backend._session not in standing_by
    assert all(session.listener is None for session in standing_by)
    assert "proxy" not in make("none").run("import os; dict(os.environ)").text.lower()


@pytest.mark.parametrize("sandbox", ["none", "landlock", "landlock-narrow", 0, 1, 2])
def test_walls_that_cannot_hold_a_list_are_refused(sandbox):
    with pytest.raises(ValueError, match="takes a network namespace, so sandbox='namespaces' or 'auto'"):
        Interpreter(network=["a.example"], sandbox=sandbox, imports=())


def test_where_namespaces_do_not_work_a_list_is_refused_and_nothing_weaker_tried(monkeypatch):
    tried = []

    def start(settings, level):
        tried.append(level.number)
        raise SandboxUnavailable("level 3 (namespaces): forbidden here")

    monkeypatch.setattr(supervisor, "Zygote", start)
    with pytest.raises(SandboxUnavailable, match=r"network=\[\.\.\.\] needs walls of level 3 \(namespaces\): .*forbidden here.*codeact doctor"):
        Interpreter(network=["a.example"], imports=("never_seen",))
    assert tried == [3]


def test_weaker_walls_that_stand_already_do_not_take_a_list(monkeypatch):
    class Weaker:
        level = supervisor.candidates("landlock")[0]
        process = type("Process", (), {"poll": lambda self: None})()
        end = threading.Event()

        def close(self):
            pass

        def is_closed(self):
            return False

        def has_ended(self, seconds=1.0):
            return False

    monkeypatch.setitem(supervisor._pools, Settings(imports=("seen_before",)).zygote_key(), Pool(Weaker()))
    with pytest.raises(SandboxUnavailable, match=r"needs walls of level 3.*those of level 2 are the strongest"):
        Interpreter(network=["a.example"], imports=("seen_before",))


@pytest.mark.parametrize(("network", "error"), [
    ("a.example", r"a list of hosts: \['a.example'\]"), ("", "a list of hosts"), (["http://a.example"], "only the host"), (["all"], "a dot"), (["a.example", ""], "empty"),
    (("a.example", 5), "a text"),
])  # fmt: skip
def test_a_list_that_makes_no_sense_is_told(network, error):
    with pytest.raises(ValueError, match=error):
        Interpreter(network=network, imports=())


def test_an_empty_list_is_no_network(make):
    py = make([])
    assert "proxy" not in py.run("import os; dict(os.environ)").text.lower()
    assert py.network_log == ()


def test_a_model_is_told_what_it_can_reach():
    with Agent(ScriptedModel(["done"]), network=["a.example", "*.b.example:8443"], imports=()) as agent:
        prompt = agent.run("task").trajectory.prompt[0].content
    assert "only these hosts can be reached: a.example, *.b.example:8443." in prompt
    assert "urllib, requests, pip and curl" in prompt


# The process ----------------------------------------------------------------------------------------------------------


def test_a_forked_child_of_the_program_has_a_proxy_of_its_own():
    program = textwrap.dedent("""
        import os, warnings
        warnings.simplefilter("ignore")
        from codeact import Interpreter
        ask = '''
        import urllib.request, urllib.error
        try:
            urllib.request.urlopen('http://off.example/', timeout=50)
        except urllib.error.HTTPError as error:
            print(error.code)
            error.close()
        '''
        py = Interpreter(network=["a.example"], imports=())
        print("parent", py.run(ask).stdout.strip(), flush=True)
        if os.fork() == 0:
            with Interpreter(network=["a.example"], imports=()) as own:
                print("child", own.run(ask).stdout.strip(), flush=True)
            os._exit(0)
        os.wait()
        print("parent", py.run(ask).stdout.strip())
        """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines(), done.stderr) == (["parent 403", "child 403", "parent 403"], "")


def test_a_program_that_ends_without_closing_ends_quietly():
    program = "from codeact import Interpreter\npy = Interpreter(network=['a.example'], imports=())\nprint(py.run('1').text)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Out[1]: 1\n", "")


def test_two_lists_are_served_by_one_thread(serving):
    import threading

    doors = [Door(["a.example"], serving) for _ in range(5)]
    assert [thread.name for thread in threading.enumerate()].count("codeact-proxy") == 1
    for door in doors:
        door.gateway.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(door.address, 5).close()
