"""Users, logins and names in the database: SQLite, and PostgreSQL where its program is at hand."""

import time

import pytest

from codeact.chats.chats import open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    store = open_store("" if request.param == "sqlite" else request.getfixturevalue("postgres"), tmp_path / "home")
    yield store
    for name in store.users():
        store.delete_user(name)
    store.close()


def test_a_new_password_ends_all_logins_and_an_old_login_is_none(store):
    store.add_user("alice", "hash one")
    store.add_login("a" * 64, "alice", time.time() + 60)
    store.add_login("b" * 64, "alice", time.time() - 1)
    assert (store.login("a" * 64), store.login("b" * 64), store.login("c" * 64)) == ("alice", None, None)
    store.add_user("alice", "hash two")
    assert (store.user_hash("alice"), store.login("a" * 64)) == ("hash two", None)
    store.add_login("d" * 64, "alice", time.time() + 60)
    store.end_login("d" * 64)
    assert store.login("d" * 64) is None
    assert store.delete_user("alice")
    assert not store.delete_user("alice")


def test_a_name_leads_to_the_place_it_was_given_last_and_goes_with_the_conversation(store):
    from codeact.chats.values import Options

    key = store.create("me", "", Options()).id
    store.name("n" * 64, key, "branch", 3)
    store.name("n" * 64, key, "other", 4)
    assert store.named("n" * 64) == (key, "other", 4)
    store.delete(key)
    assert store.named("n" * 64) is None


@pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 10_000, "' or 1=1 --", "", "é\n"])
def test_names_of_any_sort_are_nobodys(store, name):
    assert store.user_hash(name) is None
    assert store.login(name) is None
    assert store.named(name) is None


def test_names_of_users_may_have_any_letters(store):
    store.add_user("Zoë Łuk", "hash")
    assert store.user_hash("Zoë Łuk") == "hash"


def test_a_database_that_answers_is_well(store):
    store.ping()
