"""`web_fetch` and `web_search`, against listeners of our own on loopback: what is read, refused and bounded."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact import Interpreter
from codeact.errors import ConfigError
from codeact.tools.builtin import _http, web_fetch, web_search
from codeact.tools.builtin._http import Reach, WebError, request
from codeact.tools.builtin._readable import readable


def reach(**names: str) -> Reach:
    """Names lead to loopback, where anything else is refused as it would be."""
    def resolver(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return [names[host.partition(".")[0]]]

    looked_up: list[str] = []
    found = Reach(resolver=resolver, check=lambda address: "" if str(address) == "127.0.0.1" else "private")
    found.__dict__["looked_up"] = looked_up
    return found


HERE = {"here": "127.0.0.1", "inside": "10.0.0.1", "metadata": "169.254.169.254"}


class Origin:
    """Answers each connection with what a function makes of the request; keeps the requests."""

    def __init__(self, answer: Callable[[bytes], bytes | Iterator[bytes]]):
        self.requests: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.over = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client:
            asked = b""
            try:
                while b"\r\n\r\n" not in asked:
                    asked += client.recv(65536) or b"\r\n\r\n"
                self.requests.append(asked)
                answer = self._answer(asked)
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    client.sendall(piece)
            except OSError:
                pass

    def close(self) -> None:
        self.over.set()
        self._listener.close()


@pytest.fixture
def serve():
    made = []

    def serve(answer) -> Origin:
        made.append(Origin(answer if callable(answer) else lambda asked: answer))
        return made[-1]

    yield serve
    for one in made:
        one.close()


def http(body: bytes | str, kind: str = "text/html; charset=utf-8", status: str = "200 OK", **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n".encode() + data


def fetch(origin: Origin, path: str = "/", host: str = "here.test", **options: Any) -> dict[str, Any]:
    return web_fetch.create(reach=reach(**HERE))(f"http://{host}:{origin.port}{path}", **options)


# What comes back -----------------------------------------------------------------------------------------------------


def test_a_page_comes_as_markdown_with_title_and_address(serve):
    origin = serve(http("<title>The  page</title><h1>Head</h1><p>One <b>two</b> <a href='/x'>there</a></p><ul><li>a<li>b</ul>"
                        "<pre>x = 1\n  y</pre><script>evil()</script><table><tr><th>n<td>1</table>"))
    page = fetch(origin, "/a b?q=ü")
    assert page["title"] == "The page"
    assert page["url"] == f"http://here.test:{origin.port}/a%20b?q=%C3%BC"
    assert page["text"] == (f"# Head\n\nOne two [there](http://here.test:{origin.port}/x)\n\n- a\n- b\n\n```\nx = 1\n  y\n```\n\n"
                            "| n | 1")
    assert (page["truncated"], page["type"]) == (False, "text/html")
    assert origin.requests[0].startswith(b"GET /a%20b?q=%C3%BC HTTP/1.1\r\nHost: here.test:")


def test_it_runs_in_a_cell():
    with Interpreter(["web_fetch"], imports=()) as py:
        assert py.run("web_fetch('http://127.0.0.1/')").error.name == "WebError"
        assert "file: only http" in py.run("web_fetch('file:///etc/passwd')").error.message


@pytest.mark.parametrize(("body", "kind", "text"), [
    (b'{"a": 1}', "application/json", '{"a": 1}'), ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
    ('<meta charset="latin-1"><p>é'.encode("latin-1"), "text/html", "é"), (b"\xff", "text/plain; charset=no-such", "\ufffd"),
    (b"x", "text/plain; charset=hex", "x")])  # fmt: skip
def test_text_is_decoded_as_it_says(serve, body, kind, text):
    assert fetch(serve(http(body, kind)))["text"] == text


def test_compressed_text_is_read_and_a_bomb_is_cut(serve):
    assert fetch(serve(http(gzip.compress(b"hello"), "text/plain", Content_Encoding="gzip")))["text"] == "hello"
    page = fetch(serve(http(gzip.compress(b"x" * (64 << 20)), "text/plain", Content_Encoding="gzip")), max_chars=100)
    assert (page["text"], page["truncated"]) == ("x" * 100, True)


def test_what_is_long_is_cut_and_says_so(serve):
    page = fetch(serve(http("y" * 5000, "text/plain")), max_chars=10)
    assert (page["text"], page["truncated"]) == ("y" * 10, True)


def test_a_failure_and_what_is_no_text_are_errors(serve):
    with pytest.raises(WebError, match="answers 404 Not Found"):
        fetch(serve(http("no", status="404 Not Found")))
    with pytest.raises(WebError, match="application/pdf, and only text"):
        fetch(serve(http(b"%PDF", "application/pdf")))


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0.0.0.0/", "http://2130706433/", "http://127.1/",
    "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1]/"])
def test_addresses_that_are_not_public_are_refused(url):
    with pytest.raises(WebError):
        web_fetch.create()(url)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://here.test/", "gopher://x", "//here.test", "here.test", "http://", "http://u:p@here.test/",
    "http://here.test:99999/", "http://[::1/", "", "http://\ud800/", "javascript:1"])
def test_what_is_no_address_of_the_web_is_refused(url):
    with pytest.raises(ValueError, match=r"."):
        web_fetch.create(reach=reach(**HERE))(url)


@pytest.mark.parametrize("place", ["http://inside.test/", "http://metadata.test/", "http://10.0.0.1.inside/"])
def test_a_redirect_to_an_address_that_is_not_public_is_refused(serve, place):
    origin = serve(http("", status="302 Found", Location=place))
    with pytest.raises((WebError, KeyError)):
        fetch(origin)


def test_redirects_are_followed_to_an_end_and_not_without_one(serve):
    def answer(asked: bytes) -> bytes:
        if b"/end" in asked.split(b"\r\n")[0]:
            return http("there", "text/plain")
        return http("", status="302 Found", Location="/again" if b"/loop" in asked.split(b"\r\n")[0] or b"/again" in asked else "/end")

    origin = serve(answer)
    page = fetch(origin, "/start")
    assert (page["text"], page["url"].rpartition("/")[2]) == ("there", "end")
    with pytest.raises(WebError, match="more than 5 redirects"):
        fetch(origin, "/loop")
    with pytest.raises(ValueError, match="only http"):
        fetch(serve(http("", status="301 x", Location="file:///etc/passwd")))


def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_connected_to(serve):
    origin = serve(http("x", "text/plain"))
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked = []
    found = Reach(resolver=lambda host, port: asked.append(host) or next(answers), check=reach(**HERE).check)
    web_fetch.create(reach=found)(f"http://rebinding.test:{origin.port}/")
    assert asked == ["rebinding.test"]


def test_a_proxy_of_the_environment_is_not_used(serve, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(serve(http("x", "text/plain")))["text"] == "x"


# What is bounded -----------------------------------------------------------------------------------------------------


def drip(origin: Origin, first: bytes) -> Iterator[bytes]:
    yield first
    while not origin.over.wait(0.05):
        yield b"x"


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"])
def test_a_server_that_drips_is_left_in_time(serve, first):
    origin = serve(lambda asked: drip(origin, first))
    with pytest.raises(TimeoutError, match="did not answer in time"):
        request(f"http://here.test:{origin.port}/", seconds=0.5, reach=reach(**HERE))


def test_a_tls_handshake_that_never_comes_ends_in_time(serve):
    origin = serve(lambda asked: drip(origin, b""))
    with pytest.raises((TimeoutError, WebError)):
        request(f"https://here.test:{origin.port}/", seconds=0.5, reach=reach(**HERE))


@pytest.mark.parametrize("answer", [
    b"", b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\nnot gzip"])  # fmt: skip
def test_an_answer_that_is_none_is_an_error(serve, answer):
    with pytest.raises(WebError):
        fetch(serve(answer))


def test_a_certificate_that_is_not_trusted_is_refused(serve):
    assert Reach().tls().verify_mode is ssl.CERT_REQUIRED
    assert Reach().tls().check_hostname


@settings(deadline=None, max_examples=100)
@given(st.text() | st.lists(st.sampled_from(["<", ">", "<a href='", "</a>", "<li>", "<ul>", "<pre>", "</pre>", "<title>", "<!--", "-->", "<![CDATA[", "&#x", "&amp;", "x", " ", "<script>", "</script>", "<main>", "</main>", "<td>", "<h1>"])).map("".join))
def test_no_page_breaks_the_reading(html):
    title, text, cut = readable(html, "http://x.test/")
    assert isinstance(title + text, str)
    assert not cut


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<![CDATA[", "<", "</", "&#", "<script>", "<ul><li>", "<div>", "<a href='", "<pre>\n", "<x y=\"", "<!"])
def test_a_page_made_to_be_slow_is_read_in_time(piece):
    done: list[Any] = []
    reader = threading.Thread(target=lambda: done.append(readable(piece * (2_000_000 // len(piece)))), daemon=True)
    reader.start()
    reader.join(60)
    assert done, "it takes more than a minute"


def test_the_main_part_is_all_where_there_is_one():
    text = readable(f"<nav>menu</nav><main><p>{'word ' * 60}</p></main><footer>end</footer>")[1]
    assert "menu" not in text
    assert readable("<nav>menu</nav><main>little</main>")[1] == "menu\nlittle"


# Searching -----------------------------------------------------------------------------------------------------------

KEYS = [key for provider in web_search.PROVIDERS.values() for key in provider.keys]
FOUND = {
    "brave": {"web": {"results": [{"title": "T", "url": "http://a", "description": "S"}, 7]}},
    "tavily": {"results": [{"title": "T", "url": "http://a", "content": "S"}]},
    "serper": {"organic": [{"title": "T", "link": "http://a", "snippet": "S"}]},
}


@pytest.fixture
def no_keys(monkeypatch):
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", list(web_search.PROVIDERS))
def test_each_provider_is_asked_in_its_way_with_the_key(serve, no_keys, name):
    no_keys.setenv(web_search.PROVIDERS[name].keys[0], "k-secret")
    origin = serve(http(json.dumps(FOUND[name]), "application/json"))
    search = web_search.create(name, reach=reach(**HERE), url=f"http://here.test:{origin.port}/search")
    assert search("two words", max_results=3) == [{"title": "T", "url": "http://a", "snippet": "S"}]
    assert b"k-secret" in origin.requests[0]
    assert origin.requests[0].startswith(b"GET /search?q=two+words&count=3" if name == "brave" else b"POST /search")
    assert "k-secret" not in search.doc + repr(search)


def test_without_a_key_it_says_which_would_do(no_keys):
    with pytest.raises(ConfigError, match=r"BRAVE_API_KEY.*TAVILY_API_KEY"):
        web_search.create()
    with pytest.raises(ConfigError, match="no search provider 'alta'; there are: brave, tavily, serper"):
        web_search.create("alta")


@pytest.mark.parametrize(("answer", "message"), [
    (http("no", status="401 Unauthorized"), "refuses the key"), (http("busy", status="429 Too Many"), "answers 429"),
    (http("<html>"), "no list of results"), (http("[]"), "no list of results"), (http('{"results": 3}'), "no list of results"),
    (http("", status="302 Found", Location="http://elsewhere.test/"), "redirect")])  # fmt: skip
def test_what_a_provider_refuses_is_told_without_the_key(serve, no_keys, answer, message):
    no_keys.setenv("TAVILY_API_KEY", "k-secret")
    origin = serve(answer)
    search = web_search.create(reach=reach(**HERE), url=f"http://here.test:{origin.port}/")
    with pytest.raises(WebError, match=message) as failed:
        search("x")
    assert "k-secret" not in str(failed.value)


def test_a_search_without_results_is_an_empty_list(serve, no_keys):
    no_keys.setenv("BRAVE_API_KEY", "k")
    origin = serve(http("{}"))
    assert web_search.create(reach=reach(**HERE), url=f"http://here.test:{origin.port}/")("x") == []


def test_the_redirect_limit_is_a_small_one():
    assert _http.MAX_REDIRECTS <= 10
