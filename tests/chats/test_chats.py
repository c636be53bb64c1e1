"""Conversations of a server: what is stored, stopped, taken back, put to sleep and brought back."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from talk import GUARDED, Calculator, kinds, say

from codeact.chats.values import Options
from codeact.errors import ChatBusy, ChatRefused, ConfigError, LimitReached, NotFound
from codeact.messages import Image


def test_a_message_is_answered_and_all_of_it_is_stored(chats):
    key = chats.create("me").id
    say(chats, key, "please run `x = 20; print(x * 2)`")
    first, second = chats.turns(key, "me")
    assert (first.number, first.code, first.text.strip(), first.user["text"]) == (0, "x = 20; print(x * 2)", "40", "please run `x = 20; print(x * 2)`")
    assert (second.answer, second.user) == ("40", None)
    summary = chats.summary(key, "me")
    assert (summary.title, summary.state, summary.n_turns) == ("please run `x = 20; print(x * 2)`", "idle", 2)
    assert (summary.usage.prompt_tokens, round(summary.usage.cost, 4)) == (20, 0.02)
    assert kinds(chats, key) == ["user", "started", "turn", "turn", "ended"]
    seqs = [entry.seq for entry in chats.entries(key, "me")]
    assert seqs == sorted(set(seqs))


def test_what_happens_can_be_followed_while_it_happens(chats):
    key = chats.create("me").id
    at, seen = chats.send(key, "me", "`print('hello')`"), []
    until = time.monotonic() + 30
    while "ended" not in seen and time.monotonic() < until:
        for entry in chats.follow(key, "me", at, timeout=5):
            assert entry.seq > at
            at = entry.seq
            seen.append(entry.kind)
    assert seen.count("turn") == 2
    assert seen[-1] == "ended"
    assert chats.follow(key, "me", at, timeout=0.01) == []


def test_variables_live_from_message_to_message_and_over_sleep(make):
    chats = make()
    key = chats.create("me").id
    say(chats, key, "`x = 41`")
    assert [(one["name"], one["preview"]) for one in chats.variables(key, "me")] == [("x", "41")]
    chats.close()
    again = make()
    say(again, key, "`print(x + 1)`")
    assert again.turns(key, "me")[-1].answer == "42"
    assert again.stats()["restores"] == 1


def test_idle_conversations_are_put_to_sleep(make):
    chats = make(idle_seconds=0.2)
    key = chats.create("me").id
    say(chats, key, "`x = 7`")
    until = time.monotonic() + 60
    while chats.stats()["live"] and time.monotonic() < until:
        time.sleep(0.05)
    assert (chats.stats()["live"], chats.stats()["evictions"]) == (0, 1)
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "7"


def test_stop_ends_a_cell_and_keeps_the_variables(chats):
    key = chats.create("me").id
    say(chats, key, "`x = 3`")
    chats.send(key, "me", "`import time; print('on', flush=True); time.sleep(600)`")
    while not any(entry.kind == "output" for entry in chats.entries(key, "me")):
        chats.follow(key, "me", chats.entries(key, "me")[-1].seq, timeout=1)
    with pytest.raises(ChatBusy):
        chats.send(key, "me", "more")
    assert chats.summary(key, "me").state == "running"
    assert chats.stop(key, "me")
    assert chats.summary(key, "me").state == "idle"
    assert not chats.stop(key, "me")
    assert kinds(chats, key)[-1] == "stopped"
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "3"


def test_stop_ends_the_wait_for_a_model(chats):
    key = chats.create("me").id
    chats.send(key, "me", "wait")
    assert chats.stop(key, "me")
    assert chats.wait(key, "me", 1)


@pytest.mark.parametrize(("granted", "seen"), [(True, "erased it"), (False, "not approved")])
def test_a_tool_that_needs_approval_waits_for_it(make, tmp_path, granted, seen):
    (tmp_path / "guarded.py").write_text(GUARDED)
    tool = f"{tmp_path}/guarded.py"
    chats = make(tools_allowed=[tool])
    key = chats.create("me", Options(model="test", tools=(tool,))).id
    at = chats.send(key, "me", "`print(erase('it'))`")
    asked = None
    while asked is None:
        asked = next((entry for entry in chats.follow(key, "me", at, timeout=10) if entry.kind == "approval"), None)
    assert (asked.data["tool"], asked.data["arguments"]) == ("erase", {"name": "it"}) or "it" in asked.data["arguments"]["name"]
    assert chats.summary(key, "me").state == "waiting"
    chats.approve(key, "me", asked.data["call"], granted)
    assert chats.wait(key, "me", 30)
    assert seen in chats.turns(key, "me")[0].text
    with pytest.raises(NotFound):
        chats.approve(key, "me", asked.data["call"], True)


def test_a_question_that_a_cell_left_behind_ends_with_its_run(make, tmp_path):
    (tmp_path / "guarded.py").write_text(GUARDED)
    chats = make(tools_allowed=[str(tmp_path / "guarded.py")])
    key = chats.create("me", Options(model="test", tools=chats.tools_allowed)).id
    code = "import os, threading; threading.Thread(target=erase, args=('it',)).start()\nwhile not os.path.exists('go'): pass"
    at = chats.send(key, "me", f"`{code}`")
    while not (found := [entry for entry in chats.follow(key, "me", at, timeout=10) if entry.kind == "approval"]):
        pass
    chats.upload(key, "me", "go", b"")
    assert chats.wait(key, "me", 60)
    asked = found[0].data["call"]
    with pytest.raises(NotFound):
        chats.approve(key, "me", asked, True)
    assert [entry.data["granted"] for entry in chats.entries(key, "me") if entry.kind == "answered"] == [False]
    assert chats.summary(key, "me").state == "idle"
    say(chats, key, "`print(6 * 7)`")
    assert chats.turns(key, "me")[-1].answer == "42"
    assert chats.summary(key, "me").state == "idle"


def test_stop_refuses_what_waits_for_approval(make, tmp_path):
    (tmp_path / "guarded.py").write_text(GUARDED)
    tool = f"{tmp_path}/guarded.py"
    chats = make(tools_allowed=[tool])
    key = chats.create("me", Options(model="test", tools=(tool,))).id
    at = chats.send(key, "me", "`print(erase('it'))`")
    while not any(entry.kind == "approval" for entry in chats.follow(key, "me", at, timeout=10)):
        pass
    assert chats.stop(key, "me")
    assert "erased" not in str([turn.text for turn in chats.turns(key, "me")])


def test_an_edited_cell_runs_with_the_state_of_its_moment_on_a_branch(chats):
    key = chats.create("me").id
    say(chats, key, "`x = [1]`")
    say(chats, key, "`x.append(2); print(x)`")
    say(chats, key, "`x.append(3); print(x)`")
    before = chats.summary(key, "me").branch
    chats.edit(key, "me", 2, "x.append('edited'); print(x)")
    assert chats.wait(key, "me", 60)
    cells = [entry for entry in chats.shown(key, "me") if entry.kind == "cell_done"]
    assert cells[-1].data["text"].splitlines()[0] == "[1, 'edited']"
    assert len(chats.branches(key, "me")) == 2
    chats.switch(key, "me", before)
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "[1, 2, 3]"


def test_undo_retry_and_another_wording_make_branches_and_lose_nothing(chats):
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    say(chats, key, "`x = 2; print(x)`")
    chats.undo(key, "me")
    assert chats.summary(key, "me").n_turns == 2
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "1"
    chats.retry(key, "me")
    assert chats.wait(key, "me", 60)
    assert [turn.answer for turn in chats.turns(key, "me")] == [None, chats.turns(key, "me")[1].answer, None, "1"]
    chats.edit_message(key, "me", 2, "`print(x + 10)`")
    assert chats.wait(key, "me", 60)
    assert chats.turns(key, "me")[-1].answer == "11"
    assert len(chats.branches(key, "me")) == 4
    for wrong in (9, -1):
        with pytest.raises(ChatRefused):
            chats.branch(key, "me", wrong)
    with pytest.raises(ChatRefused, match="there are 2 messages"):
        chats.undo(key, "me", 3)


def test_a_cell_of_the_users_own_is_told_to_the_model(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    chats.run_cell(key, "me", "x = 100\nx")
    assert chats.wait(key, "me", 30)
    done = next(entry for entry in chats.shown(key, "me") if entry.kind == "cell_done")
    assert "100" in done.data["text"]
    say(chats, key, "thanks")
    assert "x = 100" in model.sent[-1][-1].content


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from talk import Calculator, OPTIONS
from codeact.chats.chats import Chats
chats = Chats(home=Path(sys.argv[1]), defaults=OPTIONS, model=lambda name: Calculator(), sandbox="none")
key = chats.create("me").id
print(key, flush=True)
chats.send(key, "me", "`x = 5`")
chats.wait(key, "me")
at = chats.send(key, "me", "`import time; print('shown', flush=True); time.sleep(600)`")
while not any(entry.kind == "output" for entry in chats.follow(key, "me", at)):
    pass
print([entry.seq for entry in chats.entries(key, "me")], flush=True)
time.sleep(600)
"""


def test_a_server_killed_in_a_turn_loses_nothing_that_was_shown(make, tmp_path):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "home"), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True)
    key, shown = child.stdout.readline().strip(), json.loads(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    chats = make()
    entries = chats.entries(key, "me")
    [cut] = [entry for entry in entries if entry.kind == "cut"]
    kept = [entry.seq for entry in entries if entry.seq <= shown[-1]]
    assert kept == shown[: len(kept)]   # the pieces, which come after the message, are in one entry now
    assert cut.seq > shown[-1]
    assert (entries[-1].kind, chats.summary(key, "me").state) == ("interrupted", "interrupted")
    assert [piece["text"] for piece in cut.data["pieces"] if piece["type"] == "output"] == ["shown\n"]
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "5"
    seqs = [entry.seq for entry in chats.entries(key, "me")]
    assert len(seqs) == len(set(seqs))


def test_without_the_files_the_database_is_enough_for_the_conversation(make, tmp_path):
    import shutil

    chats = make()
    key = chats.create("me").id
    say(chats, key, "`x = 5`")
    chats.close()
    shutil.rmtree(tmp_path / "home" / "conversations")
    model = Calculator()
    again = make(calculator=model)
    say(again, key, "what now?")
    assert "x = 5" in model.sent[-1][2].content
    assert model.sent[-1][0].role == "system"


def test_users_see_only_their_own(chats):
    key = chats.create("me").id
    say(chats, key, "secret")
    for call in (chats.summary, chats.turns, chats.entries, chats.variables, chats.files, chats.branches, chats.delete, chats.share):
        with pytest.raises(NotFound):
            call(key, "you")
    assert chats.find("you") == []
    token = chats.share(key, "me")
    assert chats.share(key, "me") == token
    assert [entry.kind for entry in chats.shared_turns(token)] == ["user", "turn", "ended"]
    chats.unshare(key, "me")
    with pytest.raises(NotFound):
        chats.shared(token)


def test_conversations_are_found_pinned_renamed_and_deleted(chats, tmp_path):
    first, second, third = (chats.create("me").id for _ in range(3))
    say(chats, first, "about Zürich and 100%_of it")
    chats.update(second, "me", title="  My  title ", pinned=True)
    assert chats.find("me")[0].id == second
    assert chats.summary(second, "me").title == "My title"
    assert [one.id for one in chats.find("me", search="Zürich")] == [first]
    assert [one.id for one in chats.find("me", search="100%_")] == [first]
    assert [one.id for one in chats.find("me", search="my TITLE")] == [second]
    assert chats.find("me", search="%") == [chats.summary(first, "me")]
    chats.delete(first, "me")
    assert {one.id for one in chats.find("me")} == {second, third}
    assert not (tmp_path / "home" / "conversations" / first).exists()


def test_files_stay_inside(chats, tmp_path):
    key = chats.create("me").id
    assert chats.upload(key, "me", "../../x", b"1").name == "x"
    assert chats.upload(key, "me", "C:\\dir\\y.csv", b"a,b\n1,2\n").mime == "text/csv"
    say(chats, key, "`import os; os.makedirs('d', exist_ok=True); open('d/z.txt', 'w').write('z'); os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'etc')`")
    assert {one.name for one in chats.files(key, "me")} == {"x", "y.csv", "d/z.txt"}
    assert chats.read_file(key, "me", "d/z.txt") == b"z"
    for name in ("link", "etc/passwd", "../chats.db", "/etc/passwd", "d", "", "d/../x", "nul\0l", "d//z.txt"):
        with pytest.raises(NotFound):
            chats.read_file(key, "me", name)
    for name in ("", "..", "a\nb", "x" * 300, "link", "etc"):
        with pytest.raises(ChatRefused):
            chats.upload(key, "me", name, b"")
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(b"".join(chats.archive(key, "me")))) as archive:
        assert sorted(archive.namelist()) == ["d/z.txt", "x", "y.csv"]


@pytest.mark.parametrize("kind", ["ipynb", "md", "jsonl"])
def test_a_conversation_can_be_taken_along(chats, kind):
    key = chats.create("me").id
    with pytest.raises(ChatRefused):
        chats.export(key, "me", kind)
    say(chats, key, "`print('taken')`")
    name, data = chats.export(key, "me", kind)
    assert name.endswith(f".{kind}")
    assert b"taken" in data
    with pytest.raises(ChatRefused):
        chats.export(key, "me", "exe")


def test_what_makes_no_sense_is_refused(make):
    chats = make(max_per_user=2)
    key = chats.create("me").id
    for text in ("", " \n", "x" * 2_000_001):
        with pytest.raises(ChatRefused):
            chats.send(key, "me", text)
    with pytest.raises(ChatRefused, match="not allowed"):
        chats.create("me", Options(model="test", tools=("files:/",)))
    chats.create("me")
    with pytest.raises(LimitReached):
        chats.create("me")
    chats.update(key, "me", options=Options())
    with pytest.raises(ConfigError, match="no model"):
        chats.send(key, "me", "hello")
    for wrong in ({"modl": 1}, {"max_turns": 0}, {"max_turns": True}, {"tools": "x"}, {"max_cost": float("nan")}, {"model": 3}):
        with pytest.raises(ChatRefused):
            Options.from_json(wrong)


@pytest.mark.parametrize(("name", "value", "right"), [
    ("max_turns", 10**30, "a whole number from 1 to 10,000"), ("max_turns", 1.5, "a whole number"), ("max_turns", None, "10,000"),
    ("max_tokens", -5, "1 to 1,000,000,000, or nothing: no limit"), ("max_seconds", 1e12, "a number from 1 to 1,000,000"),
    ("max_cost", float("inf"), "a number from 0.0001"), ("timeout", None, "a number from 0.1 to 100,000"), ("timeout", 10**1000, "digits"),
    ("instructions", 1, "a text"), ("network", "example.org", "a list of hosts"),
])
def test_a_number_that_cannot_be_a_limit_is_refused_with_what_can(name, value, right):
    with pytest.raises(ChatRefused, match=right) as told:
        Options.from_json({name: value})
    assert len(str(told.value)) < 200


def test_a_conversation_whose_limits_could_not_be_chosen_any_more_is_there_all_the_same(chats):
    key = chats.create("me").id
    chats.store.update(key, options=Options(model="test", max_turns=10**30))
    assert [one.options.max_turns for one in chats.find("me")] == [10**30]
    say(chats, key, "hello")


def test_a_model_that_fails_is_told_and_the_conversation_goes_on(make):
    class Broken:
        def complete(self, messages, **options):
            raise ValueError("oops")

    chats = make(calculator=Broken())
    key = chats.create("me").id
    say(chats, key, "hello")
    error = next(entry for entry in chats.entries(key, "me") if entry.kind == "error")
    assert "oops" in error.data["message"]
    assert chats.summary(key, "me").state == "idle"


def test_pictures_go_to_the_model(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "look", images=[Image("image/png", b"\x89PNG\r\n\x1a\n")], attached=["a.csv"])
    assert model.sent[-1][-1].images[0].mime == "image/png"
    assert "a.csv" in model.sent[-1][-1].content
    assert chats.turns(key, "me")[0].user["files"] == ["a.csv"]


def test_a_long_conversation_opens_at_its_end(chats):
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    turn = next(entry for entry in chats.entries(key, "me") if entry.kind == "turn")
    for n in range(2, 300):
        chats.store.add(key, [("turn", turn.data, n)])
    shown = chats.turns(key, "me")
    assert [one.number for one in shown] == list(range(270, 300))
    assert [one.number for one in chats.turns(key, "me", before=270)] == list(range(240, 270))


def test_a_newer_database_is_not_touched(make, tmp_path):
    import sqlite3

    make().close()
    connection = sqlite3.connect(tmp_path / "home" / "chats.db")
    connection.execute("update alembic_version set version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match="cannot use the database"):
        make()


def test_what_is_sent_as_soon_as_the_answer_is_there_is_not_refused(chats, monkeypatch):
    key = chats.create("me").id
    resting, go_on, update = threading.Event(), threading.Event(), chats.store.update

    def slow(key, **values):
        if values.get("state") == "idle":
            resting.set()
            assert go_on.wait(30)
        update(key, **values)

    monkeypatch.setattr(chats.store, "update", slow)
    chats.send(key, "me", "one")
    assert resting.wait(30)
    assert kinds(chats, key)[-1] == "ended"
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(chats.send, key, "me", "two")
        done, _ = wait([sent], timeout=0.2)
        go_on.set()
        assert sent.result(30)
    assert not done
    assert chats.wait(key, "me", 30)
    assert [turn.answer for turn in chats.turns(key, "me")] == ["one", "two"]
