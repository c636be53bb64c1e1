"""How long somebody is known, and the ways to be known no more: in time, with another token, everywhere at once."""

import io
import re

import httpx
import pytest
from serving import TOKEN

from codeact.chats.chats import open_store
from codeact.chats.values import Options
from codeact.cli import serve as verb
from codeact.web.gate import Policy
from codeact.web.login import add_user

PASSWORD = "correct horse battery"


@pytest.fixture
def browser():
    """Makes browsers: that opened the printed address, or in which somebody logged in."""
    made = []

    def open_one(served, name=""):
        made.append(one := httpx.Client(base_url=served.url, timeout=30))
        if name:
            assert one.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
        else:
            assert one.get("/api/v1/me", params={"token": TOKEN}).status_code == 303
        return one

    yield open_one
    for one in made:
        one.close()


def is_known(browser):
    return browser.get("/api/v1/me").status_code == 200


def test_a_login_lasts_as_long_as_the_server_says(serve, browser):
    served = serve(policy=Policy(token=TOKEN, login_seconds=7200))
    with httpx.Client(base_url=served.url) as one:
        cookie = one.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert re.search("Max-Age=7200; HttpOnly; SameSite=Strict", cookie)
    assert verb._parser().parse_args(["--login-days", "0.5"]).login_days == 0.5


@pytest.mark.parametrize(("bound", "known"), [(True, False), (False, True)])
def test_a_login_ends_with_the_token_where_somebody_chose_it_and_else_in_time(serve, tmp_path, bound, known, browser):
    first = serve(policy=Policy(token=TOKEN, bound=bound), home=tmp_path / "h")
    cookie = next(iter(browser(first).cookies.values()))
    first.end()
    same = serve(policy=Policy(token=TOKEN, bound=bound), home=tmp_path / "h")
    other = serve(policy=Policy(token=TOKEN + "2", bound=bound), home=tmp_path / "h")
    for served, expected in ((same, True), (other, known)):
        with httpx.Client(base_url=served.url, cookies={f"codeact_login_{served.port}": cookie}) as again:
            assert is_known(again) is expected


def test_a_login_of_one_sort_of_server_is_none_at_another_on_the_same_database(serve, tmp_path, browser):
    single = serve(policy=Policy(token=TOKEN), home=tmp_path / "h")
    accounts = serve(policy=Policy(accounts=True), home=tmp_path / "h")
    add_user(accounts.chats.store, "alice", PASSWORD)
    for one, there in ((browser(single), accounts), (browser(accounts, "alice"), single)):
        assert is_known(one)
        cookies = {f"codeact_login_{there.port}": next(iter(one.cookies.values()))}
        with httpx.Client(base_url=there.url, cookies=cookies) as again:
            assert not is_known(again)


def test_who_logs_out_everywhere_is_known_nowhere_by_no_cookie_and_no_key(serve, tmp_path, capsys, browser):
    served = serve(policy=Policy(accounts=True), home=tmp_path / "h")
    for name in ("alice", "bob"):
        add_user(served.chats.store, name, PASSWORD)
    assert verb.main(["user", "token", "alice", "--data", str(tmp_path / "h")]) == 0
    key = capsys.readouterr().out.strip()
    phone, laptop, bob = browser(served, "alice"), browser(served, "alice"), browser(served, "bob")
    program = httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"})
    assert phone.post("/logout").status_code == 303
    assert [is_known(one) for one in (phone, laptop, program, bob)] == [False, True, True, True]
    assert laptop.post("/logout", data={"everywhere": "yes"}).status_code == 303
    assert [is_known(one) for one in (laptop, program, bob)] == [False, False, True]
    again = browser(served, "alice")
    assert again.delete("/api/v1/me/logins").status_code == 204
    assert not is_known(again)
    again = browser(served, "alice")
    assert verb.main(["user", "logout", "alice", "--data", str(tmp_path / "h")]) == 0
    assert capsys.readouterr().out == "1 login or key of alice ended\n"
    assert not is_known(again)
    assert is_known(bob)
    program.close()


def test_another_site_cannot_log_anybody_out(serve, browser):
    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", PASSWORD)
    one = browser(served, "alice")
    answer = one.post("/logout", data={"everywhere": "yes"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert is_known(one)


def test_who_has_not_come_in_sends_no_more_than_a_form(serve, browser):
    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", PASSWORD)
    with served.client(token="") as client:
        assert client.post("/login", content=b"a=1&" * 20_000).json()["error"] == "too_large"
    one = browser(served, "alice")
    assert one.post("/logout", content=b"a=1&" * 20_000).status_code == 413


def test_a_stream_of_events_ends_soon_after_a_logout(serve, monkeypatch, browser):
    monkeypatch.setattr("codeact.web.staying.AGAIN_SECONDS", 0)
    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", PASSWORD)
    chats = served.chats
    key = chats.create("alice").id
    with browser(served, "alice").stream("GET", f"/api/v1/conversations/{key}/events") as stream:
        lines = stream.iter_lines()
        chats.store.add(key, [("note", {"text": "one"}, None)])
        chats._news.tell(key)
        assert "id: 1" in lines
        chats.store.end_logins("alice")
        chats.store.add(key, [("note", {"text": "SECRET"}, None)])
        chats._news.tell(key)
        assert "SECRET" not in "".join(lines)
    assert chats.summary(key, "alice").id == key   # and nothing else has ended


def test_a_database_knows_no_token_by_which_one_could_come_in(serve, tmp_path, browser):
    served = serve(policy=Policy(token=TOKEN, bound=True), home=tmp_path / "h")
    token = next(iter(browser(served).cookies.values()))
    store = open_store("", tmp_path / "h")
    assert store.login(token) is None
    store.close()
    data = b"".join(path.read_bytes() for path in (tmp_path / "h").glob("chats.db*"))
    assert token.encode() not in data
    assert TOKEN.encode() not in data


def test_conversations_of_a_deleted_account_are_nobodys_until_somebody_says_whose(tmp_path, capsys, monkeypatch):
    store = open_store("", tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n" * 4))

    def user(*argv):
        code = verb.main(["user", *argv, "--data", str(tmp_path)])
        return code, "".join(capsys.readouterr())

    assert user("add", "alice") == (0, "alice can log in\n")
    key = store.create("alice", "secret", Options()).id
    (tmp_path / "conversations" / key).mkdir(parents=True)
    code, said = user("delete", "alice")
    assert code == 0
    assert "cannot log in any more" in said
    assert "1 conversation left" in said
    code, said = user("add", "alice")
    assert code == 2
    assert "--conversations" in said
    assert store.user_hash("alice") is None
    assert user("add", "alice", "--conversations") == (0, "alice can log in\n")
    assert user("add", "alice") == (0, "alice has another password\n")
    assert store.count("alice") == 1
    code, said = user("delete", "alice", "--conversations")
    assert (code, said) == (0, "alice cannot log in any more\n1 conversation removed\n")
    assert store.count("alice") == 0
    assert not (tmp_path / "conversations" / key).exists()
    assert user("delete", "alice", "--conversations")[0] == 2
    store.close()
