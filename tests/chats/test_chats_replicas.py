"""Several servers on one database: one at a time is at work on a conversation, and another goes on when it has ended."""

import threading
import time

import pytest
from talk import Calculator, kinds, say

from codeact.chats import holding
from codeact.chats.chats import open_store
from codeact.chats.holding import Holding
from codeact.errors import ChatElsewhere, NotFound


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def two(make, url, tmp_path):
    """Two servers with folders of their own."""
    return make(url=url, home=tmp_path / "here"), make(url=url, home=tmp_path / "there")


def test_what_one_server_is_at_work_on_another_does_not_begin_nor_change(two):
    here, there = two
    key = here.create("me").id
    say(here, key, "`x = 1`")
    here.send(key, "me", "wait")
    n_entries = len(here.entries(key, "me"))
    for begin in (lambda: there.send(key, "me", "hello"), lambda: there.run_cell(key, "me", "1"), lambda: there.edit(key, "me", 0, "x = 2"),
                  lambda: there.undo(key, "me"), lambda: there.branch(key, "me", 1), lambda: there.retry(key, "me"),
                  lambda: there.variables(key, "me"), lambda: there.delete(key, "me"),
                  lambda: there.update(key, "me", options=there.defaults)):
        with pytest.raises(ChatElsewhere, match="wait until it is done, or stop it"):
            begin()
    assert len(here.entries(key, "me")) == n_entries
    assert there.stats()["live"] == 0
    say(there, there.create("me").id, "another conversation is nobody else's")
    assert there.update(key, "me", title="reading and naming it is free").title.startswith("reading")
    here.stop(key, "me")
    say(there, key, "hello")
    say(here, key, "`print(x)`")
    assert here.turns(key, "me")[-1].answer == "1"
    numbers = [turn.number for turn in here.turns(key, "me")]
    assert numbers == list(range(len(numbers)))


def test_of_messages_sent_to_two_servers_at_once_one_is_taken(two):
    here, _ = two
    key = here.create("me").id
    gate, taken = threading.Barrier(2), []

    def send(chats):
        gate.wait()
        try:
            taken.append(chats.send(key, "me", "wait"))
        except ChatElsewhere as error:
            taken.append(error)

    threads = [threading.Thread(target=send, args=(chats,)) for chats in two]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert sorted(type(one).__name__ for one in taken) == ["ChatElsewhere", "int"]
    assert kinds(here, key).count("user") == 1
    for chats in two:
        chats.stop(key, "me")


def test_a_stop_at_another_server_reaches_the_one_that_is_at_work(two, monkeypatch):
    here, there = two
    monkeypatch.setattr(holding, "_RENEWALS", 150)   # from the second look on
    key = here.create("me").id
    here.send(key, "me", "wait")
    with pytest.raises(ChatElsewhere):
        there.send(key, "me", "hello")
    assert there.stop(key, "me")
    assert here.wait(key, "me", 30)
    assert kinds(there, key)[-1] == "stopped"
    say(there, key, "hello")


def test_an_approval_is_to_be_given_where_it_was_asked_for(two):
    here, there = two
    key = here.create("me").id
    here.send(key, "me", "wait")
    with pytest.raises(ChatElsewhere, match="answer there"):
        there.approve(key, "me", "call", granted=True)
    here.stop(key, "me")
    with pytest.raises(NotFound):
        there.approve(key, "me", "call", granted=True)


def died(chats):
    """As if the server had been killed: nothing is let go of, nor written."""
    chats._holding._closed.set()
    chats._holding._thread.join()
    chats._store.release = chats._store.add = chats._store.update = chats._store.spend = lambda *_, **__: [None] * 9


def test_what_a_server_that_ended_has_left_another_goes_on_with_when_its_time_is_up(make, url, tmp_path):
    model = Calculator()
    here, there = make(url=url, home=tmp_path / "here"), make(url=url, home=tmp_path / "there", calculator=model)
    key = here.create("me").id
    say(here, key, "`x = 1`")
    here.send(key, "me", "wait for ever")
    died(here)
    with pytest.raises(ChatElsewhere):
        there.send(key, "me", "hello")
    store = there.store
    assert store.renew([key], here._holding.name, -1.0) == {key: False}   # its time is up
    assert there.summary(key, "me").state == "running"
    say(there, key, "hello")
    assert "interrupted" in kinds(there, key)
    assert there.turns(key, "me")[-1].answer
    assert "wait for ever" in str(model.sent[-1])
    assert "hello" in str(model.sent[-1])


def test_a_server_that_begins_anew_leaves_alone_what_another_is_at_work_on(make, url, tmp_path):
    here, there = make(url=url, home=tmp_path / "here"), make(url=url, home=tmp_path / "there")
    key = here.create("me").id
    say(here, key, "`x = 1`")                                  # so that the folder is there
    here.close()
    there.send(key, "me", "wait")
    here = make(url=url, home=tmp_path / "here")
    assert here.summary(key, "me").state == "running"
    assert "interrupted" not in kinds(there, key)
    there.stop(key, "me")
    assert kinds(there, key)[-1] == "stopped"


def test_a_server_that_begins_anew_settles_at_once_what_ran_there_when_it_was_killed(make, url, tmp_path):
    here = make(url=url, home=tmp_path / "here")
    key = here.create("me").id
    say(here, key, "hello")
    store = open_store(url, tmp_path / "here")
    here.close()
    before = f"{here._holding.name[:16]}.before"
    store.take(key, before, 60)
    store.update(key, state="running")
    here = make(url=url, home=tmp_path / "here")
    assert here.summary(key, "me").state in ("interrupted", "idle")
    assert store.holder(key) is None
    say(here, key, "hello")
    store.close()


def test_a_stop_settles_what_a_server_that_ended_has_left(make, url, tmp_path):
    here, there = make(url=url, home=tmp_path / "here"), make(url=url, home=tmp_path / "there")
    key = here.create("me").id
    here.send(key, "me", "wait")
    died(here)
    there.store.renew([key], here._holding.name, -1.0)
    assert there.stop(key, "me")
    assert there.summary(key, "me").state == "interrupted"


def test_a_server_that_lost_what_it_was_at_work_on_stops(two):
    here, there = two
    here._holding._seconds = 0.5
    key = here.create("me").id
    here.send(key, "me", "wait")
    here.store.release(key)                                    # as when it was not heard of for too long
    assert there.store.take(key, there._holding.name, 60)
    known = there.store.entries(key)
    assert here.wait(key, "me", 30)
    assert there.store.entries(key) == known                   # nor does it write any more
    assert there.store.holder(key) == there._holding.name      # which it does not take away
    there._holding._store.release(key)
    assert there.stop(key, "me")
    assert kinds(there, key)[-1] == "interrupted"
    assert there.summary(key, "me").state == "interrupted"


def test_what_another_server_had_meanwhile_is_not_taken_back(two):
    here, there = two
    here._holding._seconds = 0.5
    key = here.create("me").id
    here.send(key, "me", "wait")
    here.store.release(key)
    assert there.store.take(key, there._holding.name, 60)
    there.store.release(key)                                   # and is done with it already
    assert here.wait(key, "me", 30)
    assert here.store.holder(key) is None


def test_a_search_looks_through_what_was_said_and_through_nothing_else(two):
    chats, _ = two
    key = chats.create("me", title="a title").id
    say(chats, key, 'say "hello", \\ and `print(\'back\' + chr(46) + \'tick\')`\nin a line of its own')
    for words in ('"HELLO", \\', "a line of", "chr(46)", "I run it", "<execute>", "back.tick", ".own", "own", "\nin"):
        expected = [key] if words != ".own" else []
        assert [one.id for one in chats.find("me", search=words)] == expected, words
    for words in ("completion", "prompt_tokens", "observation", "images", "text", '{"text"'):
        assert chats.find("me", search=words) == [], words


# The row itself ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(url, tmp_path):
    store = open_store(url, tmp_path / "home")
    yield store
    store.close()


def test_a_lease_is_one_servers_until_it_ends(store):
    key = f"k{time.time()}"
    assert store.holder(key) is None
    assert store.take(key, "a", 60)
    assert store.take(key, "a", 60)
    assert not store.take(key, "b", 60)
    assert store.holder(key) == "a"
    store.release(key, "b")
    assert store.renew([key, "other"], "a", 60) == {key: False}
    assert store.renew([key], "b", 60) == {}
    store.ask_to_stop(key)
    assert store.renew([key], "a", -1) == {key: True}
    assert store.holder(key) is None
    assert store.take(key, "b", 60)
    assert store.renew([key], "b", 60) == {key: False}
    assert store.renew([key], "a", 60) == {}
    store.release(key, "b")
    assert store.take(key, "a", 60)
    store.release(key)


def test_it_is_held_as_long_as_anybody_here_needs_it(store, tmp_path):
    key, stopped = f"k{time.time()}", []
    holding, other = (Holding(store, stopped.append, place=tmp_path / name) for name in "ab")
    with holding.held(key):
        holding.hold(key)
        with pytest.raises(ChatElsewhere), other.held(key):
            pass
    assert other.is_elsewhere(key)
    holding.drop(key)
    with other.held(key):
        assert holding.is_elsewhere(key)
    assert store.holder(key) is None
    holding.close()
    other.close()
    assert stopped == []


def test_a_fault_while_one_is_held_on_to_does_not_end_the_holding_of_all(tmp_path):
    renewed, again = [], threading.Event()

    class Store:
        def take(self, key, holder, seconds):
            return True

        def holder(self, key):
            raise OSError("the database is gone for a moment")

        def renew(self, keys, holder, seconds):
            renewed.append(keys)
            if len(renewed) > 2:
                again.set()
            return {}

        def release(self, key, holder=None):
            pass

    one = Holding(Store(), lambda key: None, place=tmp_path, seconds=0.05)
    try:
        with one.held("key"):
            assert again.wait(30)
    finally:
        one.close()


def test_a_database_that_does_not_answer_ends_nothing(store, monkeypatch, tmp_path):
    stopped = []
    holding = Holding(store, stopped.append, place=tmp_path, seconds=0.05)
    asked = threading.Event()

    def fail(*_):
        asked.set()
        raise OSError("gone")

    monkeypatch.setattr(store, "renew", fail)
    key = f"k{time.time()}"
    holding.hold(key)
    assert asked.wait(20)
    monkeypatch.undo()
    holding.drop(key)
    holding.close()
    assert stopped == []
