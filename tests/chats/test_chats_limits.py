"""What one user may use of a server: disk, money, tokens; counted in the database, refused with words that help."""

import json
import time

import pytest
from talk import Calculator, kinds, say

from codeact.chats import quota
from codeact.chats.chats import open_store
from codeact.chats.quota import Quota, Rate
from codeact.errors import Cancelled, ConfigError, LimitReached, ModelError, NotFound
from codeact.events import Text
from codeact.messages import Completion, Usage

MB = 1 << 20


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    store = open_store("" if request.param == "sqlite" else request.getfixturevalue("postgres"), tmp_path / "home")
    yield store
    store.close()


def test_limits_are_read_as_people_spell_them():
    read = Quota.read({"disk": "500", "cost": "5", "tokens": "1e6/month"})
    assert read == Quota(500, Rate(5), Rate(1e6, "month"))
    assert Quota.read(read.spelled()) == read
    assert Quota.read({"disk": "none", "cost": None}, read) == Quota(None, Rate(5), Rate(1e6, "month"))
    assert Quota.read(Quota().spelled()) == Quota()
    for wrong in ("0", "-1", "five", "5/week", "nan", "inf", "", "5/", "/day"):
        for name in ("disk", "cost", "tokens"):
            if (name, wrong) not in {("cost", "5/"), ("tokens", "5/")}:
                with pytest.raises(ConfigError, match="right are"):
                    Quota.read({name: wrong})


def test_a_day_and_a_month_begin_where_the_calendar_has_them():
    last = 1798761599.0   # 2026-12-31 23:59:59 UTC
    assert (Rate(1).span(last), Rate(1, "month").span(last)) == ("2026-12-31", "2026-12")
    assert (Rate(1).again(last), Rate(1, "month").again(last)) == ("2027-01-01 00:00 UTC", "2027-01-01 00:00 UTC")
    assert Rate(1, "month").span(last + 1) == "2027-01"


def test_what_was_used_is_added_by_day_and_outlives_the_program(store, monkeypatch):
    owner, now = f"me{time.time()}", 1798761599.0
    monkeypatch.setattr(time, "time", lambda: now)
    store.spend(owner, 100, 0.5)
    store.spend(owner, 11, 0.25)
    store.spend("they", 10**12, 10.0)
    assert store.spent(owner, Rate(1)) == (111, 0.75)
    monkeypatch.setattr(time, "time", lambda: now - 24 * 3600)
    store.spend(owner, 1000, 1)
    assert store.spent(owner, Rate(1)) == (1000, 1)
    assert store.spent(owner, Rate(1, "month")) == (1111, 1.75)
    monkeypatch.setattr(time, "time", lambda: now + 1)
    assert store.spent(owner, Rate(1, "month")) == (0, 0)


def test_a_user_may_have_limits_of_ones_own(store):
    owner = f"me{time.time()}"
    assert store.quota_of(owner) == {}
    store.set_quota(owner, disk="10", cost="none")
    store.set_quota(owner, tokens="5/month")
    assert store.quota_of(owner) == {"disk": "10", "cost": "none", "tokens": "5/month"}
    store.set_quota(owner, disk=None)
    assert Quota.read(store.quota_of(owner), Quota(7, Rate(1), None)) == Quota(7, None, Rate(5, "month"))


def test_who_has_used_up_the_tokens_is_told_and_goes_on_when_there_are_more(make, monkeypatch):
    chats = make(quota=Quota(tokens=Rate(40)))
    key = chats.create("me").id
    say(chats, key, "`x = 1`")                    # two replies of 15 tokens
    say(chats, key, "hello")
    with pytest.raises(LimitReached, match=r"this day's 40 tokens are used up \(45\); go on from .* 00:00 UTC"):
        chats.send(key, "me", "hello")
    for begin in (lambda: chats.retry(key, "me"), lambda: chats.edit(key, "me", 0, "x = 2"), lambda: chats.edit_message(key, "me", 0, "hi"),
                  lambda: chats.send(chats.create("me").id, "me", "hello")):
        with pytest.raises(LimitReached):
            begin()
    assert len(chats.branches(key, "me")) == 1
    chats.run_cell(key, "me", "print(x)")         # asks no model
    assert chats.wait(key, "me", 60)
    chats.send(theirs := chats.create("they").id, "they", "hello")
    assert chats.wait(theirs, "they", 60)
    chats.close()
    again = make(quota=Quota(tokens=Rate(40)))
    with pytest.raises(LimitReached):
        again.send(key, "me", "hello")
    again.store.set_quota("me", tokens="60")
    say(again, key, "hello")
    assert again.used("me")["tokens"] == {"limit": 60, "used": 60, "per": "day"}
    now = time.time()
    monkeypatch.setattr(quota.time, "time", lambda: now + 24 * 3600)
    say(again, key, "hello")


def test_money_is_counted_as_tokens_are(make):
    chats = make(quota=Quota(cost=Rate(0.02, "month")))
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    with pytest.raises(LimitReached, match=r"this month's 0\.02 dollars are spent \(0\.02\)"):
        chats.send(key, "me", "hello")


def test_a_run_ends_at_the_first_reply_that_may_not_be_asked_for(make):
    model = Calculator()
    chats = make(calculator=model, quota=Quota(tokens=Rate(10)))
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    assert len(model.sent) == 1
    assert kinds(chats, key)[-1] == "error"
    assert "used up" in chats.entries(key, "me")[-1].data["message"]


class Slow:
    """Streams, and is stopped or breaks; or tells of no usage."""

    def __init__(self, then):
        self.then = then

    def complete(self, messages, *, observe, **options):
        observe(Text("x" * 4000))
        if isinstance(self.then, Completion):
            return self.then
        raise self.then


@pytest.mark.parametrize("then", [Cancelled(), ModelError("gone"), Completion("<solution>" + "x" * 4000 + "</solution>")])
def test_replies_of_which_nobody_says_what_they_cost_are_counted_by_their_length(make, then):
    chats = make(calculator=Slow(then), quota=Quota(cost=Rate(1), tokens=Rate(100_000)))
    key = chats.create("me").id
    chats.meter.spend("they", Usage(500, 500, 0.1), "test")   # what a token of this model costs
    say(chats, key, "hello")
    used = chats.used("me")
    assert 1000 < used["tokens"]["used"] < 10_000
    assert used["cost"]["used"] == pytest.approx(used["tokens"]["used"] * 0.0001)


# Disk -----------------------------------------------------------------------------------------------------------------


def test_uploads_are_refused_where_they_would_be_too_much_and_taken_when_there_is_room(make):
    chats = make(quota=Quota(disk=3))
    key, other = chats.create("me").id, chats.create("me").id
    chats.upload(key, "me", "a.bin", bytes(2 * MB))
    with pytest.raises(LimitReached, match=r"have 2\.0 MB .* may have 3, and this has 2\.0; delete files"):
        chats.upload(other, "me", "b.bin", bytes(2 * MB))
    chats.upload(chats.create("they").id, "they", "b.bin", bytes(2 * MB))
    chats.remove_file(key, "me", "a.bin")
    chats.upload(other, "me", "b.bin", bytes(2 * MB))
    with pytest.raises(LimitReached):
        chats.upload(key, "me", "a.bin", bytes(2 * MB))
    chats.delete(other, "me")
    chats.upload(key, "me", "a.bin", bytes(2 * MB))


def test_a_cell_may_write_what_is_left_and_then_nothing_begins_until_there_is_room(make):
    chats = make(quota=Quota(disk=3.1), sandbox="auto")
    key = chats.create("me").id
    chats.upload(key, "me", "mine.bin", bytes(2 * MB))
    chats.run_cell(key, "me", "import time\nfor n in range(3000):\n    open(f'{n}.bin', 'wb').write(bytes(1 << 18))\n    time.sleep(0.05)")
    assert chats.wait(key, "me", 90)
    done = next(entry for entry in chats.entries(key, "me") if entry.kind == "cell_done")
    assert "the workspace is full" in done.data["text"]
    assert chats.used("me")["disk"]["used"] < 50
    say_no = (lambda: chats.send(key, "me", "hello"), lambda: chats.run_cell(key, "me", "1"), lambda: chats.upload(key, "me", "x", b"1"))
    for begin in say_no:
        with pytest.raises(LimitReached, match="delete files or conversations"):
            begin()
    chats.close()
    again = make(quota=Quota(disk=3.1), sandbox="auto")
    with pytest.raises(LimitReached):
        again.send(key, "me", "hello")
    for info in again.files(key, "me"):
        again.remove_file(key, "me", info.name)
    say(again, key, "hello")


def test_saved_states_count_too(make):
    chats = make(quota=Quota(disk=1000))
    key = chats.create("me").id
    say(chats, key, "`import os; x = os.urandom(3_000_000)`")
    assert chats.used("me")["disk"]["used"] > 2.8
    chats.close()
    assert make(quota=Quota(disk=1000)).used("me")["disk"]["used"] > 2.8


def test_a_limit_that_is_set_later_counts_what_was_there_before(make):
    chats = make()
    key = chats.create("me").id
    chats.upload(key, "me", "a.bin", bytes(2 * MB))
    chats.store.update(key, n_bytes=None)   # as a server without such limits left it
    chats.store.set_quota("me", disk="1")
    with pytest.raises(LimitReached):
        chats.upload(key, "me", "b.bin", b"1")
    chats.store.set_quota("me", disk="none")
    chats.upload(key, "me", "b.bin", b"1")


def test_a_great_many_empty_files_count_and_links_lead_nowhere(make, tmp_path):
    from codeact.chats.meter import size_of

    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "large").write_bytes(bytes(MB))
    (folder / "link").symlink_to(tmp_path / "large")
    (folder / "up").symlink_to(tmp_path)
    for n in range(100):
        (folder / str(n)).touch()
    assert 100 * 1024 <= size_of(folder) < MB
    with open(folder / "sparse", "wb") as file:
        file.truncate(100 * MB)
    assert size_of(folder) < MB


@pytest.mark.parametrize("name", ["../other", "link", "folder", "pipe", "a/../b", "", "link/secret", "nothing"])
def test_only_a_file_of_the_workspace_can_be_taken_away(make, tmp_path, name):
    import os

    chats = make()
    key = chats.create("me").id
    chats.upload(key, "me", "b", b"1")
    folder = tmp_path / "home" / "conversations" / key / "workspace"
    (folder.parent / "other").write_text("stays")
    (tmp_path / "secret").write_text("stays")
    (folder / "link").symlink_to(tmp_path)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(NotFound):
        chats.remove_file(key, "me", name)
    with pytest.raises(NotFound):
        chats.remove_file(key, "they", "b")
    chats.remove_file(key, "me", "b")
    assert sorted(os.listdir(folder)) == ["folder", "link", "pipe"]
    assert (folder.parent / "other").exists()
    assert (tmp_path / "secret").exists()


def test_what_a_user_has_used_is_told_as_json(make):
    chats = make()
    told = chats.used("nobody")
    assert json.loads(json.dumps(told)) == {"disk": {"limit": None, "used": 0, "per": None}, "cost": {"limit": None, "used": 0, "per": "day"},
                                            "tokens": {"limit": None, "used": 0, "per": "day"}}
