"""The proxy against origin servers of the tests' own, and against clients that mean no good."""

import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from origins import OK, Door, Origin, is_whole, only_loopback, proxying, read

from codeact.addresses import why_refused
from codeact.interpreter import access, exchange, proxy


@pytest.fixture
def origin():
    one = Origin()
    yield one
    one.close()


@pytest.fixture
def serving():
    with proxying() as one:
        yield one


@pytest.fixture
def door(origin, serving):
    """Open to `origin.test` at the origin's port."""
    return Door([f"origin.test:{origin.port}"], serving)


def get(port: int, host: str = "origin.test", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} http://{host}:{port}/path HTTP/1.1", f"Host: {host}:{port}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def until(condition) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What is allowed ------------------------------------------------------------------------------------------------------


def test_a_plain_request_comes_through_and_is_logged(door, origin):
    assert door.talk(get(origin.port)) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    sent = origin.wait()
    assert sent == f"GET /path HTTP/1.1\r\nHost: origin.test:{origin.port}\r\nConnection: close\r\n\r\n".encode()
    [entry] = door.access.log
    assert (entry.method, entry.host, entry.port, entry.allowed, entry.reason, entry.address) == ("GET", "origin.test", origin.port, True, "", "127.0.0.1")
    assert (entry.sent, entry.received) == (len(sent), len(OK))
    assert abs(entry.time - time.time()) < 60


def test_a_body_comes_through_whole_with_a_length_and_in_chunks(door, origin):
    body = bytes(range(256)) * 4096
    assert door.talk(get(origin.port, "origin.test", f"Content-Length: {len(body)}", method="POST", body=body)).endswith(b"ok")
    assert origin.wait().partition(b"\r\n\r\n")[2] == body
    chunks = b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: dropped\r\n\r\n"
    assert door.talk(get(origin.port, "origin.test", "Transfer-Encoding: chunked", method="PUT", body=chunks)).endswith(b"ok")
    assert origin.wait().partition(b"\r\n\r\n")[2] == b"5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n"


def test_a_client_that_waits_to_be_told_to_go_on_is_told(door, origin):
    with door.connect() as client:
        client.sendall(get(origin.port, "origin.test", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert read(client).endswith(b"ok")
    assert b"Expect" not in origin.wait()


def test_interim_answers_go_on_to_the_client(serving):
    origin = Origin(lambda request: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    answer = Door([f"origin.test:{origin.port}"], serving).talk(get(origin.port))
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n")
    origin.close()


def test_a_tunnel_carries_bytes_both_ways_and_ends_on_each_side_by_itself(door, origin):
    with door.connect() as client:
        client.sendall(f"CONNECT origin.test:{origin.port} HTTP/1.1\r\n\r\n".encode() + b"GET / HTTP/1.1\r\n")   # what comes early is not lost
        assert client.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        client.sendall(b"\r\n")
        assert read(client) == OK
        client.sendall(b"still going out")
        client.shutdown(socket.SHUT_WR)
        assert origin.wait() == b"GET / HTTP/1.1\r\n\r\nstill going out"
    until(lambda: door.access.log[0].sent == len(b"GET / HTTP/1.1\r\n\r\nstill going out"))
    assert door.access.log[0].received == len(OK)


def test_a_large_answer_reaches_a_client_that_reads_slowly(serving):
    large = bytes(8 << 20)
    origin = Origin(lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + large)
    with Door([f"origin.test:{origin.port}"], serving).connect() as client:
        client.sendall(get(origin.port))
        seen = bytearray()
        while data := client.recv(1 << 14):
            seen += data
    assert seen.partition(b"\r\n\r\n")[2] == large
    origin.close()


def test_many_requests_at_once_come_through(door, origin):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(door.talk(get(origin.port)))) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 100
    assert all(answer.endswith(b"ok") for answer in answers)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_line", ["GET http://evil.test/ HTTP/1.1", "CONNECT evil.test:443 HTTP/1.1", "CONNECT origin.test:22 HTTP/1.1", "GET http://origin.test/ HTTP/1.1",
                                          "GET http://127.0.0.1/ HTTP/1.1", "CONNECT [::1]:443 HTTP/1.1", "CONNECT sub.origin.test:443 HTTP/1.1"])  # fmt: skip
def test_a_host_or_port_off_the_list_is_refused_with_what_is_allowed(door, origin, request_line):
    answer = door.talk(f"{request_line}\r\n\r\n".encode()).decode()
    first, _, body = answer.partition("\r\n\r\n")
    assert first.startswith("HTTP/1.1 403 ")
    # Clients show no more than the first line of an answer to CONNECT
    assert f"it is not on the list. Allowed hosts: origin.test:{origin.port}" in first.splitlines()[0]
    assert f"Allowed hosts: origin.test:{origin.port}\n" in body
    [entry] = door.access.log
    assert (entry.allowed, entry.reason, entry.address) == (False, "it is not on the list", "")


def test_a_name_off_the_list_is_never_looked_up():
    asked = []
    with proxying(resolver=lambda host, port: asked.append(host) or ["127.0.0.1"]) as serving:
        assert b" 403 " in Door(["origin.test"], serving).talk(get(80, "secret-in-a-name.evil.test"))
    assert asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00:ec2::254", "0.0.0.0"])
def test_an_allowed_name_that_leads_to_a_private_address_is_refused(origin, address):
    with proxying(resolver=lambda host, port: [address], check=why_refused) as serving:
        door = Door([f"origin.test:{origin.port}"], serving)
        answer = door.talk(get(origin.port)).decode()
    assert answer.startswith("HTTP/1.1 403 ")
    assert "only public addresses" in answer
    assert door.access.log[0].reason.startswith("origin.test leads to ")
    assert origin.connections == []


def test_a_name_that_changes_its_address_between_check_and_use_is_used_as_it_was_checked(origin):
    """DNS rebinding: the second question would be answered with a metadata service."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["169.254.169.254"]])
    checked = []

    def check(address):
        checked.append(str(address))
        return only_loopback(address)

    with proxying(resolver=lambda host, port: next(answers), check=check) as serving:
        door = Door([f"origin.test:{origin.port}"], serving)
        assert door.talk(get(origin.port)).endswith(b"ok")
        assert checked == ["127.0.0.1"]
        assert next(answers) == ["169.254.169.254"]   # one question was asked
        assert door.talk(get(origin.port)).startswith(b"HTTP/1.1 403 ")
        assert door.access.log[0].address == "127.0.0.1"


def test_a_redirect_to_a_metadata_service_ends_at_the_list(serving):
    origin = Origin(lambda request: b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n")
    door = Door([f"origin.test:{origin.port}"], serving)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": "http://{}:{}".format(*door.address)}))
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        opener.open(f"http://origin.test:{origin.port}/", timeout=50)
    with caught.value as error:
        assert b"169.254.169.254:80 cannot be reached from this session: it is not on the list" in error.read()
    assert [(entry.host, entry.allowed) for entry in door.access.log] == [("origin.test", True), ("169.254.169.254", False)]
    origin.close()


@pytest.mark.parametrize("hidden", [
    b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    b"GET /admin HTTP/1.1\r\nHost: internal.test\r\n\r\n",
])
def test_a_second_request_on_the_same_connection_goes_nowhere(door, origin, hidden):
    answer = door.talk(get(origin.port) + hidden)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in answer
    sent = origin.wait()
    assert sent.count(b"HTTP/1.1") == 1
    assert b"evil" not in sent
    assert b"admin" not in sent
    body = b"POST-BODY"
    door.talk(get(origin.port, "origin.test", f"Content-Length: {len(body)}", method="POST", body=body + hidden))
    assert origin.wait().partition(b"\r\n\r\n")[2] == body
    door.talk(get(origin.port, "origin.test", "Transfer-Encoding: chunked", method="POST", body=b"1\r\nx\r\n0\r\n\r\n" + hidden))
    assert origin.wait().partition(b"\r\n\r\n")[2] == b"1\r\nx\r\n0\r\n\r\n"


@pytest.mark.parametrize("headers", [
    ("Content-Length: 4", "Transfer-Encoding: chunked"), ("Content-Length: 4", "Content-Length: 40"), ("Transfer-Encoding: chunked, identity",), ("Content-Length : 4",),
    ("X: a\nTransfer-Encoding: chunked",), ("X: a\rHost: evil.test",), ("X: a", " Transfer-Encoding: chunked"), ("Host: evil.test",),
])  # fmt: skip
def test_what_two_servers_could_read_differently_never_leaves(door, origin, headers):
    answer = door.talk(get(origin.port, "origin.test", *headers, method="POST", body=b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Allowed hosts: origin.test" in answer
    assert [(entry.host, entry.allowed) for entry in door.access.log] == [("", False)]
    assert origin.connections == []


@pytest.mark.parametrize(("kind", "body"), [
    ("Transfer-Encoding: chunked", b"5\r\nhello0\r\n\r\n"), ("Transfer-Encoding: chunked", b"-1\r\n\r\n"), ("Transfer-Encoding: chunked", b"x" * 100_000),
    ("Transfer-Encoding: chunked", b"0\r\n" + b"X: y\r\n" * 1000), ("Content-Length: 100", b"short"),
])  # fmt: skip
def test_a_malformed_body_is_cut_off_where_it_goes_wrong(door, origin, kind, body):
    with door.connect() as client:
        client.sendall(get(origin.port, "origin.test", kind, method="POST", body=body))
        client.shutdown(socket.SHUT_WR)
        assert read(client).startswith(b"HTTP/1.1 400 ")
    assert not is_whole(origin.wait())
    assert door.access.log[0].reason


def test_the_host_header_a_cell_writes_is_not_the_one_that_goes_out(door, origin):
    request = f"GET http://origin.test:{origin.port}/ HTTP/1.1\r\nHost: internal.test\r\n\r\n".encode()
    assert door.talk(request).endswith(b"ok")
    assert b"internal" not in origin.wait()


@pytest.mark.parametrize(("name", "request_bytes", "status"), [
    ("HEAD_SECONDS", b"GET http://origin.test/ HTTP/1.1\r\nX: ", b"408"), ("HEAD_SECONDS", b"\x16\x03\x01", b"408"), ("", b"GET http://origin.test/" + b"x" * 70_000, b"431"),
    ("", b"GET http://origin.test/ HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"431"),
])  # fmt: skip
def test_a_head_that_does_not_end_is_given_up(door, monkeypatch, name, request_bytes, status):
    if name:
        monkeypatch.setattr(exchange, name, 0.05)
    assert door.talk(request_bytes).startswith(b"HTTP/1.1 " + status)


def test_a_client_that_sends_a_byte_now_and_then_has_no_more_time_for_its_head_than_others(door, monkeypatch):
    monkeypatch.setattr(exchange, "HEAD_SECONDS", 0.2)
    with door.connect() as client:
        stop = threading.Event()

        def drip():
            while not stop.wait(0.01):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert client.recv(12) == b"HTTP/1.1 408"
        stop.set()
        dripping.join()


def test_a_silent_tunnel_is_closed(door, origin, monkeypatch):
    monkeypatch.setattr(exchange, "IDLE_SECONDS", 0.1)
    assert door.talk(f"CONNECT origin.test:{origin.port} HTTP/1.1\r\n\r\n".encode()).startswith(b"HTTP/1.1 200")
    assert origin.wait() == b""
    assert "nothing was said" in door.access.log[0].reason


# What fails -----------------------------------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve_is_told():
    def resolver(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with proxying(resolver=resolver) as serving:
        door = Door(["origin.test"], serving)
        assert door.talk(get(80)).startswith(b"HTTP/1.1 502 origin.test does not resolve (Name or service not known)")
        assert door.access.log[0].allowed


def test_a_resolver_that_hangs_takes_nobody_else_along(origin, monkeypatch):
    monkeypatch.setattr(exchange, "LOOKUP_SECONDS", 0.1)
    end = threading.Event()

    def resolver(host, port):
        if host == "slow.test":
            end.wait(60)
        return ["127.0.0.1"]

    with proxying(resolver=resolver) as serving:
        slow, other = Door(["slow.test"], serving), Door([f"origin.test:{origin.port}"], serving)
        for _ in range(proxy.MAX_LOOKUPS + 2):
            assert slow.talk(get(80, "slow.test")).startswith(b"HTTP/1.1 502 slow.test did not resolve")
        monkeypatch.setattr(exchange, "LOOKUP_SECONDS", 60.0)
        assert other.talk(get(origin.port)).endswith(b"ok")
        end.set()


def test_a_host_that_does_not_answer_is_told_and_its_next_address_tried(origin):
    with proxying(resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"], check=lambda address: "") as serving:
        door = Door([f"origin.test:{origin.port}", "origin.test:1"], serving)
        assert door.talk(get(origin.port)).endswith(b"ok")
        assert door.access.log[0].address == "127.0.0.1"
        assert door.talk(get(1)).startswith(b"HTTP/1.1 502 cannot connect to origin.test:1 at 127.0.0.1 (")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000])
def test_an_answer_that_is_none_is_told(serving, answer):
    origin = Origin(lambda request: answer)
    assert Door([f"origin.test:{origin.port}"], serving).talk(get(origin.port)).startswith(b"HTTP/1.1 502 ")
    origin.close()


# Sessions and limits --------------------------------------------------------------------------------------------------


def test_connections_over_the_limit_wait_and_silent_ones_make_room(door, origin, monkeypatch):
    monkeypatch.setattr(proxy, "MAX_CONNECTIONS", 2)
    tunnels = [door.connect() for _ in range(2)]
    for tunnel in tunnels:
        tunnel.sendall(f"CONNECT origin.test:{origin.port} HTTP/1.1\r\n\r\n".encode())
        assert tunnel.recv(100).startswith(b"HTTP/1.1 200")
    with door.connect() as third:
        third.sendall(get(origin.port))
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.recv(1)
        monkeypatch.setattr(proxy, "EVICT_SECONDS", 0.0)
        third.settimeout(60)
        assert read(third).endswith(b"ok")
    for tunnel in tunnels:
        tunnel.close()


def test_what_waited_for_room_while_a_state_was_brought_back_is_refused(door, origin, monkeypatch):
    with monkeypatch.context() as full, door.gateway.suspended():
        full.setattr(proxy, "MAX_ALL_CONNECTIONS", 0)
        late = door.connect()
    late.sendall(get(origin.port))
    assert read(late).startswith(b"HTTP/1.1 403 ")
    late.close()


def test_what_comes_over_a_connection_of_before_while_a_state_is_brought_back_is_refused(door, origin, serving):
    with door.connect() as client:
        until(lambda: serving._served[door.access].connections)
        door.access.is_suspended = True
        client.sendall(get(origin.port))
        assert read(client).startswith(b"HTTP/1.1 403 ")
    assert "run again" in door.access.log[0].reason


def test_what_is_open_when_a_state_is_brought_back_is_cut_and_what_is_asked_meanwhile_refused(door, origin):
    tunnel, late = door.connect(), None
    tunnel.sendall(f"CONNECT origin.test:{origin.port} HTTP/1.1\r\n\r\n".encode())
    assert tunnel.recv(100).startswith(b"HTTP/1.1 200")
    with door.gateway.suspended():
        assert read(tunnel) == b""
        late = door.connect()
        assert b"a second time" in door.talk(get(origin.port))
    late.sendall(get(origin.port))   # connected while a cell was replayed: refused however late it asks
    assert read(late).startswith(b"HTTP/1.1 403 ")
    assert door.talk(get(origin.port)).endswith(b"ok")
    assert [entry.allowed for entry in door.access.log] == [True, False, False, True]
    tunnel.close()
    late.close()


def test_closing_ends_the_listener_and_every_connection(door, origin, serving):
    tunnel, waiting = door.connect(), door.connect()
    tunnel.sendall(f"CONNECT origin.test:{origin.port} HTTP/1.1\r\n\r\n".encode())
    assert tunnel.recv(100).startswith(b"HTTP/1.1 200")
    other = Door([f"origin.test:{origin.port}"], serving)
    door.gateway.close()
    assert read(tunnel) == b""
    assert read(waiting) == b""
    assert origin.wait() == b""
    with pytest.raises(ConnectionRefusedError):
        door.connect()
    assert len(door.access.log) == 1
    assert other.talk(get(origin.port)).endswith(b"ok")
    door.gateway.close()
    for client in (tunnel, waiting):
        client.close()


def test_the_log_keeps_the_latest_requests(serving, monkeypatch):
    monkeypatch.setattr(access, "MAX_LOG", 3)
    door = Door(["origin.test"], serving)
    for number in range(5):
        door.talk(get(80, f"evil{number}.test"))
    assert [entry.host for entry in door.access.log] == ["evil2.test", "evil3.test", "evil4.test"]


def test_what_a_cell_asks_for_cannot_write_lines_of_the_programs_log(door, caplog):
    caplog.set_level("INFO", "codeact.network")
    door.talk(b"GET http://evil.test/\r\nrefused GET fake: HTTP/1.1\r\n\r\n")
    door.talk(b"GET http://evil\x1b[2J.test/ HTTP/1.1\r\n\r\n")
    door.talk(b"GET http://evil.test/secret-path HTTP/1.1\r\n\r\n")
    assert caplog.messages == ["refused ? ?:0: the request line is malformed", "refused ? ?:0: the request line is malformed", "refused GET evil.test:80: it is not on the list"]


def test_a_proxy_closes_with_everything_it_serves(origin):
    with proxying() as serving:
        door = Door([f"origin.test:{origin.port}"], serving)
        client = door.connect()
    assert read(client) == b""
    client.close()
    assert "codeact-proxy" not in [thread.name for thread in threading.enumerate()]


def test_the_default_check_is_the_strict_one(origin):
    serving = proxy.Proxy(resolver=lambda host, port: ["127.0.0.1"])
    try:
        door = Door([f"origin.test:{origin.port}"], serving)
        assert b"which is loopback" in door.talk(get(origin.port))
    finally:
        serving.close()
    assert only_loopback(ipaddress.ip_address("127.0.0.2"))
