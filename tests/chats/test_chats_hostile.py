"""Conversations under attack and under haste: races, sizes, names, damaged files, two servers on one database."""

import io
import json
import multiprocessing
import os
import sqlite3
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from talk import GUARDED, OPTIONS, Calculator, kinds, say

from codeact.chats import files
from codeact.chats.chats import Chats
from codeact.chats.store import Store
from codeact.chats.values import Options
from codeact.errors import ChatBusy, ChatElsewhere, ChatRefused, NotFound
from codeact.messages import Image


@pytest.fixture
def make(make):
    """Behind the strongest walls there are here: what a cell does to its folder and its processes is not the same without."""
    return lambda **options: make(**{"sandbox": "auto", **options})


@pytest.fixture
def chats(make):
    return make()


def at_once(*calls):
    """What each call gave or raised, all begun together."""
    gate = threading.Barrier(len(calls))

    def one(call):
        gate.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def follow_until(chats, key, kind):
    at = 0
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for entry in chats.follow(key, "me", at, timeout=5):
            at = entry.seq
            if entry.kind == kind:
                return entry
    raise AssertionError(f"no {kind}")


def numbered_once(chats, key):
    seqs = [entry.seq for entry in chats.entries(key, "me")]
    return len(seqs) == len(set(seqs)) and seqs == sorted(seqs)


# Races ----------------------------------------------------------------------------------------------------------------


def test_of_messages_sent_at_once_one_is_taken_and_the_others_are_told(chats):
    key = chats.create("me").id
    results = at_once(*[lambda: chats.send(key, "me", "`import time; time.sleep(600)`")] * 6)
    assert sum(isinstance(one, int) for one in results) == 1
    assert all(isinstance(one, int | ChatBusy) for one in results)
    assert chats.stop(key, "me")
    assert chats.wait(key, "me", 60)
    assert kinds(chats, key).count("user") == 1


def test_a_message_sent_while_others_look_branch_or_delete_ends_well(chats):
    for _ in range(3):
        key = chats.create("me").id
        say(chats, key, "`x = 1`")
        results = at_once(lambda: chats.send(key, "me", "`print(x)`"), lambda: chats.variables(key, "me"),
                          lambda: chats.branch(key, "me", 1), lambda: chats.undo(key, "me"), lambda: chats.stop(key, "me"))
        assert [one for one in results if isinstance(one, Exception) and not isinstance(one, ChatBusy | ChatRefused)] == []
        assert chats.wait(key, "me", 60)
        assert "error" not in kinds(chats, key)
        assert numbered_once(chats, key)
        results = at_once(lambda: chats.delete(key, "me"), lambda: chats.send(key, "me", "`print(x)`"), lambda: chats.delete(key, "me"))
        assert [one for one in results if isinstance(one, Exception) and not isinstance(one, NotFound)] == []
        with pytest.raises(NotFound):
            chats.summary(key, "me")
    assert chats.stats()["live"] == 0


def test_what_runs_ends_with_the_conversation_that_is_deleted(chats, tmp_path):
    key = chats.create("me").id
    chats.send(key, "me", "`import time; print('on', flush=True); time.sleep(600)`")
    follow_until(chats, key, "output")
    watching = threading.Thread(target=lambda: at_once(lambda: chats.follow(key, "me", 10**6, timeout=60)))
    watching.start()
    chats.delete(key, "me")
    watching.join(20)
    assert not watching.is_alive()
    assert chats.stats()["live"] == 0
    assert not (tmp_path / "home" / "conversations" / key).exists()


def test_a_conversation_put_to_sleep_while_it_is_followed_and_written_to_goes_on(make):
    chats = make(idle_seconds=0.05, max_live=1)
    keys = [chats.create("me").id for _ in range(3)]
    for n in range(4):
        for key in keys:
            say(chats, key, f"`x{n} = {n}`" if n < 3 else "`print(x0, x1, x2)`")
    for key in keys:
        assert chats.turns(key, "me")[-1].answer == "0 1 2"
        assert "error" not in kinds(chats, key)
        assert numbered_once(chats, key)


def test_more_than_may_be_awake_are_put_to_sleep_soon(make):
    chats = make(max_live=2)
    for _ in range(5):
        say(chats, chats.create("me").id, "hello")
    until = time.monotonic() + 60
    while chats.stats()["live"] > 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert chats.stats()["live"] == 2


def test_two_stops_at_once_both_return_and_one_end_is_told(chats):
    key = chats.create("me").id
    chats.send(key, "me", "`import time; print('on', flush=True); time.sleep(600)`")
    follow_until(chats, key, "output")
    assert True in at_once(lambda: chats.stop(key, "me"), lambda: chats.stop(key, "me"))
    assert kinds(chats, key).count("stopped") == 1
    say(chats, key, "hello")
    assert kinds(chats, key)[-2:] == ["turn", "ended"]


def test_of_two_answers_to_one_question_the_first_counts(make, tmp_path):
    (tmp_path / "guarded.py").write_text(GUARDED)
    tool = f"{tmp_path}/guarded.py"
    chats = make(tools_allowed=[tool])
    key = chats.create("me", Options(model="test", tools=(tool,))).id
    chats.send(key, "me", "`print(erase('it'))`")
    call = follow_until(chats, key, "approval").data["call"]
    results = at_once(lambda: chats.approve(key, "me", call, True), lambda: chats.approve(key, "me", call, True))
    assert sorted(type(one).__name__ for one in results) == ["NoneType", "NotFound"]
    assert chats.wait(key, "me", 60)


def test_a_run_whose_end_cannot_be_stored_leaves_a_conversation_that_goes_on(chats, monkeypatch):
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    real, failing = Store.add, threading.Event()

    def add(self, *args, **more):
        if failing.is_set():
            raise OSError("the disk is full")
        return real(self, *args, **more)

    monkeypatch.setattr(Store, "add", add)
    chats.send(key, "me", "wait")
    failing.set()
    chats.stop(key, "me")
    failing.clear()
    assert chats.summary(key, "me").state == "idle"
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "1"


def test_a_watcher_that_fails_ends_nothing(chats):
    def fail(key):
        raise ValueError("oops")

    chats.watch(fail)
    key = chats.create("me").id
    say(chats, key, "hello")
    assert chats.turns(key, "me")[-1].answer == "hello"


# Branches -------------------------------------------------------------------------------------------------------------


def test_a_cell_of_the_users_own_after_the_last_kept_turn_stays_with_the_branch(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    chats.run_cell(key, "me", "x = 100")
    assert chats.wait(key, "me", 60)
    say(chats, key, "`x = 7; print(x)`")
    chats.undo(key, "me")
    assert "cell" in kinds(chats, key)
    assert [(one["name"], one["preview"]) for one in chats.variables(key, "me")] == [("x", "100")]
    say(chats, key, "thanks")
    assert "x = 100" in model.sent[-1][-1].content


def test_cells_before_the_first_message_are_told_after_sleep_also_that_they_are_lost(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    chats.run_cell(key, "me", "x = 100")
    assert chats.wait(key, "me", 60)
    chats.close()
    again = make(calculator=model)
    say(again, key, "hello")
    sent = str(model.sent[-1])
    assert "x = 100" in sent
    assert "was not run again" in sent
    assert "restored" in kinds(again, key)
    assert again.turns(key, "me")[-1].number == 0


def test_every_kind_of_turn_can_be_edited_and_taken_back(chats):
    key = chats.create("me").id
    say(chats, key, "`x = 1`")                      # a cell, then an answer
    say(chats, key, "`1 / 0`")                      # a cell that fails
    say(chats, key, "hello")                        # an answer alone
    n = chats.summary(key, "me").n_turns
    main = chats.summary(key, "me").branch
    for turn in range(n):
        chats.switch(key, "me", main)
        chats.edit(key, "me", turn, f"x = {turn} + 50\nprint(x)")
        assert chats.wait(key, "me", 60)
        assert "error" not in kinds(chats, key)
        done = [entry for entry in chats.shown(key, "me") if entry.kind == "cell_done"]
        assert str(turn + 50) in done[-1].data["text"]
    chats.switch(key, "me", main)
    for left in (2, 1, 0):
        chats.undo(key, "me")
        assert kinds(chats, key).count("user") == left
    assert chats.summary(key, "me").n_turns == 0
    say(chats, key, "from the beginning")
    assert chats.turns(key, "me")[-1].answer == "from the beginning"


def test_of_messages_that_came_to_nothing_only_the_last_is_taken_back_or_said_anew(make):
    class Broken(Calculator):
        broken = True

        def complete(self, messages, **options):
            if self.broken:
                raise ValueError("oops")
            return super().complete(messages, **options)

    model = Broken()
    chats = make(calculator=model)
    key = chats.create("me").id
    for text in ("one", "two", "three"):
        say(chats, key, text)
    chats.undo(key, "me")
    assert [entry.data["text"] for entry in chats.entries(key, "me") if entry.kind == "user"] == ["one", "two"]
    model.broken = False
    chats.edit_message(key, "me", 0, "2")
    assert chats.wait(key, "me", 60)
    assert [entry.data["text"] for entry in chats.entries(key, "me") if entry.kind == "user"] == ["one", "2"]
    assert chats.summary(key, "me").n_turns == 1


# Sizes ----------------------------------------------------------------------------------------------------------------


def test_what_is_too_large_is_refused_before_anything_happens(chats):
    key = chats.create("me").id
    for call in (lambda: chats.send(key, "me", "x" * 20_000_000),
                 lambda: chats.send(key, "me", "look", images=[Image("image/png", bytes(8 << 20))] * 3),
                 lambda: chats.send(key, "me", "look", attached=["a"] * 1000),
                 lambda: chats.run_cell(key, "me", "x" * 20_000_000)):
        with pytest.raises(ChatRefused):
            call()
    say(chats, key, "hello")
    for call in (lambda: chats.edit(key, "me", 0, "x" * 20_000_000), lambda: chats.edit(key, "me", 0, " "),
                 lambda: chats.edit_message(key, "me", 0, "x" * 20_000_000), lambda: chats.edit_message(key, "me", 0, ""),
                 lambda: chats.edit(key, "me", 99, "1"), lambda: chats.edit_message(key, "me", -1, "1")):
        with pytest.raises(ChatRefused):
            call()
    assert len(chats.branches(key, "me")) == 1
    assert len(chats.update(key, "me", title="t" * 20_000_000).title) == 200


def test_ten_thousand_messages_are_read_in_parts(chats):
    key = chats.create("me").id
    for n in range(10):
        chats.store.add(key, [("user", {"text": f"{n * 1000 + m}", "images": [], "files": []}, 0) for m in range(1000)])
    shown = chats.shown(key, "me")
    assert len(shown) == 300
    assert shown[-1].data["text"] == "9999"
    assert len(chats.entries(key, "me", limit=10**9)) == 5000
    assert chats.find("me", search="9999")[0].id == key
    chats.undo(key, "me", 9_999)
    assert kinds(chats, key).count("user") == 1


def test_entries_that_are_large_together_come_a_few_at_a_time_and_none_is_missed(chats):
    key = chats.create("me").id
    for n in range(30):
        chats.store.add(key, [("user", {"text": f"{n:02}" + "x" * 1_900_000}, n)])
    seen, after = [], 0
    while found := chats.entries(key, "me", after=after):
        assert sum(len(entry.data["text"]) for entry in found) < 20_000_000
        seen += [entry.data["text"][:2] for entry in found]
        after = found[-1].seq
    assert seen == [f"{n:02}" for n in range(30)]
    assert sum(1 for _ in chats.store.all_of(key, ("user",))) == 30


def test_output_without_end_is_bounded_in_the_database(chats, tmp_path):
    key = chats.create("me").id
    for _ in range(3):
        say(chats, key, "`for _ in range(200): print('y' * 1_000_000)`")
    assert sum(path.stat().st_size for path in (tmp_path / "home").glob("chats.db*")) < 30_000_000
    assert len(json.dumps([turn.to_json() for turn in chats.turns(key, "me")])) < 2_000_000


# Names ----------------------------------------------------------------------------------------------------------------


def test_files_with_names_that_are_no_text_can_be_seen_read_and_taken_along(chats, tmp_path):
    key = chats.create("me").id
    chats.upload(key, "me", "a", b"1")
    folder = tmp_path / "home" / "conversations" / key / "workspace"
    (folder / os.fsdecode(b"\xff\xfe.txt")).write_bytes(b"odd")
    (folder / "new\nline <b>").write_bytes(b"line")
    (folder / "\\udcff.txt").write_bytes(b"plain")
    names = [one.name for one in chats.files(key, "me")]
    assert sorted(names) == ["\\udcff.txt", "\\udcff\\udcfe.txt", "a", "new\nline <b>"]
    json.dumps(names, ensure_ascii=False).encode()
    assert [chats.read_file(key, "me", name) for name in sorted(names)] == [b"plain", b"odd", b"1", b"line"]
    for name in ("\\udcff\\udcfe", "\\udcff/../../chats.db", "\ud800", "x" * 100_000):
        with pytest.raises(NotFound):
            chats.read_file(key, "me", name)
    with zipfile.ZipFile(io.BytesIO(b"".join(chats.archive(key, "me")))) as archive:
        assert len(archive.namelist()) == 4


def test_a_folder_full_of_files_and_pipes_takes_uploads_all_the_same(chats, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MAX_FILES", 50)
    key = chats.create("me").id
    chats.upload(key, "me", "a", b"1")
    folder = tmp_path / "home" / "conversations" / key / "workspace"
    for n in range(60):
        (folder / f"0{n}").touch()
    os.mkfifo(folder / "pipe")
    (folder / "dir").mkdir()
    assert chats.upload(key, "me", "z.csv", b"123").size == 3
    assert len(chats.files(key, "me")) == 50
    for name in ("pipe", "dir"):
        with pytest.raises(ChatRefused):
            chats.upload(key, "me", name, b"")
        with pytest.raises(NotFound):
            chats.read_file(key, "me", name)


def test_characters_that_are_none_get_nowhere(chats):
    key = chats.create("me").id
    say(chats, key, "half \ud800 and \0 nothing `print(chr(0xd800), chr(0))`")
    json.dumps([entry.to_json() for entry in chats.entries(key, "me")], ensure_ascii=False).encode()
    chats.update(key, "me", title="a\ud800b\0c")
    assert chats.summary(key, "me").title == "a?bc"
    assert chats.find("me", search="\ud800\0") == chats.find("me", search="?")
    for wrong in ("\ud800", "\0", "'; drop table entries; --", ""):
        with pytest.raises(NotFound):
            chats.summary(wrong, "me")
        with pytest.raises(NotFound):
            chats.shared(wrong)
        with pytest.raises(NotFound):
            chats.switch(key, "me", wrong)
        with pytest.raises(NotFound):
            chats.approve(key, "me", wrong, True)


# What is left of a server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["trajectory", "state", "both", "cut off"])
def test_damaged_files_lose_variables_at_most_and_it_is_told(make, tmp_path, damage):
    chats = make()
    key = chats.create("me").id
    say(chats, key, "`x = 5`")
    chats.close()
    folder = tmp_path / "home" / "conversations" / key
    for path in folder.glob("*.jsonl*"):
        is_state = ".state-" in path.name
        if damage == "both" or damage == ("state" if is_state else "trajectory"):
            path.write_bytes(b"\x00garbage\n" * 10)
        elif damage == "cut off" and not is_state:
            path.write_bytes(path.read_bytes()[:-40])
    model = Calculator()
    again = make(calculator=model)
    say(again, key, "`print(x)`")
    assert "error" not in kinds(again, key)
    assert again.turns(key, "me")[-1].answer == "5"
    assert again.turns(key, "me")[-1].number == 3
    assert "x = 5" in str(model.sent[-1])


def test_two_servers_on_one_database_and_folder_do_not_disturb_one_another(make):
    first = make()
    key = first.create("me").id
    first.send(key, "me", "`import time; print('on', flush=True); time.sleep(600)`")
    follow_until(first, key, "output")
    second = make()
    assert second.summary(key, "me").state == "running"
    with pytest.raises(ChatElsewhere, match="another server of this database is at work on this conversation: wait"):
        second.send(key, "me", "hello")
    other = second.create("me").id
    say(second, other, "hello")
    first.stop(key, "me")
    assert [entry.kind for entry in second.entries(key, "me")][-1] == "stopped"
    assert first.turns(other, "me")[-1].answer == "hello"


def test_a_server_goes_on_with_what_another_has_added_meanwhile(make, tmp_path):
    model = Calculator()
    here = make(calculator=model)
    key = here.create("me").id
    say(here, key, "`x = 5`")
    here.close()
    there = Chats(f"sqlite:///{tmp_path}/home/chats.db", home=tmp_path / "other", defaults=OPTIONS, model=lambda name: model,
                  sandbox="none")
    say(there, key, "`y = 6`")
    there.close()
    again = make(calculator=model)
    say(again, key, "`print(y)`")
    assert "y = 6" in str(model.sent[-1])
    assert [turn.number for turn in again.turns(key, "me")] == list(range(6))
    assert again.turns(key, "me")[-1].answer == "6"


def test_what_is_written_at_once_by_two_programs_is_numbered_once(chats, tmp_path):
    key = chats.create("me").id
    other = Store(f"sqlite:///{tmp_path}/home/chats.db")
    results = at_once(*[lambda store=store: [store.add(key, [("note", {"text": str(n)}, None)]) for n in range(40)]
                        for store in (chats.store, other, chats.store, other)])
    other.close()
    assert [one for one in results if isinstance(one, Exception)] == []
    assert [entry.seq for entry in chats.entries(key, "me")] == list(range(1, 161))


def _open(url, gate):
    gate.wait()
    Store(url).close()


def test_of_programs_that_start_at_once_one_makes_the_tables(tmp_path):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(4)
    url = f"sqlite:///{tmp_path}/new.db"
    started = [context.Process(target=_open, args=(url, gate)) for _ in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0, 0, 0, 0]


def test_a_program_waits_for_another_that_makes_the_tables_in_a_file_not_yet_in_wal_mode(tmp_path):
    with sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE another (a)")
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        Store(f"sqlite:///{tmp_path}/new.db").close()
        timer.join()
    other.close()


def test_pinned_conversations_come_once_when_lists_are_read_in_parts(chats):
    keys = [chats.create("me").id for _ in range(6)]
    chats.update(keys[0], "me", pinned=True)
    seen, before = [], None
    while found := chats.find("me", limit=2, before=before):
        seen += [one.id for one in found]
        before = found[-1].updated
    assert seen == [keys[0], *reversed(keys[1:])]


def test_more_pinned_conversations_than_a_part_of_the_list_holds_all_come_first(chats):
    keys = [chats.create("me").id for _ in range(6)]
    for key in keys[:4]:
        chats.update(key, "me", pinned=True)
    first = chats.find("me", limit=1)
    assert {one.id for one in first[:4]} == set(keys[:4])
    assert [one.id for one in first[4:]] == [keys[5]]
    assert [one.id for one in chats.find("me", limit=1, before=first[-1].updated)] == [keys[4]]


def test_a_conversation_that_was_had_on_another_server_meanwhile_goes_on_with_all_that_was_said(make, tmp_path):
    url, model = f"sqlite:///{tmp_path / 'both.db'}", Calculator()
    here, there = make(url=url, calculator=model), make(url=url, home=tmp_path / "there", calculator=model)
    key = here.create("me").id
    say(here, key, "`x = 1`")
    say(there, key, "I am Ann")
    say(here, key, "who am I")
    assert any("I am Ann" in str(message.content) for message in model.sent[-1])
    numbers = [turn.number for turn in here.turns(key, "me")]
    assert numbers == list(range(len(numbers)))
    branch = there.branch(key, "me", 2)
    say(here, key, "`print(3)`")
    assert here.summary(key, "me").branch == branch
    assert here.turns(key, "me")[-1].answer == "3"
    assert not any("I am Ann" in str(message.content) for message in model.sent[-1])
