"""Conversations in PostgreSQL, on a server that the tests start."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from talk import OPTIONS, say

from codeact.chats.store import Store
from codeact.errors import NotFound


def test_a_conversation_is_had_branched_found_and_brought_back(make, postgres):
    chats = make(url=postgres)
    key = chats.create("me").id
    at = say(chats, key, "`x = 1`")
    assert chats.follow(key, "me", at, timeout=0)
    say(chats, key, "`x = 2; print(x)` about Zürich, 100%_of it")
    chats.undo(key, "me")
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "1"
    assert [one.id for one in chats.find("me", search="zürich")] == [key]
    assert chats.find("me", search="nowhere") == []
    token = chats.share(key, "me")
    assert chats.shared(token).id == key
    assert chats.stats()["turns"] == 6
    chats.close()
    again = make(url=postgres)
    say(again, key, "`print(x + 10)`")
    assert again.turns(key, "me")[-1].answer == "11"
    again.delete(key, "me")
    with pytest.raises(NotFound):
        again.summary(key, "me")


def test_characters_that_are_none_get_nowhere_in_postgresql(make, postgres):
    chats = make(url=postgres)
    key = chats.create("me").id
    say(chats, key, "half \ud800 and \0 nothing `print(chr(0xd800), chr(0))`")
    json.dumps([entry.to_json() for entry in chats.entries(key, "me")], ensure_ascii=False).encode()
    chats.update(key, "me", title="a\ud800b\0c")
    assert chats.summary(key, "me").title == "a?bc"
    assert chats.find("me", search="\ud800\0") == chats.find("me", search="?")
    for wrong in ("\ud800", "\0", "'; drop table entries; --"):
        with pytest.raises(NotFound):
            chats.summary(wrong, "me")
        with pytest.raises(NotFound):
            chats.shared(wrong)


def test_of_programs_that_start_and_write_at_once_each_number_is_given_once(postgres):
    gate = threading.Barrier(4)

    def start(_):
        gate.wait()
        return Store(postgres)

    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(start, range(4)))
        key = stores[0].create("me", "", OPTIONS).id
        list(pool.map(lambda store: [store.add(key, [("note", {"text": "x" * 1000}, None)]) for _ in range(40)], stores))
    assert [entry.seq for entry in stores[0].entries(key)] == list(range(1, 161))
    for store in stores:
        store.close()


def test_what_two_servers_name_at_once_is_named_once(postgres):
    stores, faults = [Store(postgres) for _ in range(2)], []

    def name(store, n):
        try:
            for _ in range(30):
                store.name("a name", "key", "branch", n)
                store.add_user("alice", f"hash {n}")
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=name, args=(store, n)) for n, store in enumerate(stores)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert stores[0].named("a name")[:2] == ("key", "branch")
    assert stores[0].user_hash("alice").startswith("hash")
    for store in stores:
        store.close()
