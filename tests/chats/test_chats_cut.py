"""Runs that come to no end: what there was of them is kept, marked, and told to the model."""

import shutil
import threading

import pytest
from talk import GUARDED, OPTIONS, Calculator, kinds, say

from codeact.chats.cut import Cut
from codeact.chats.rebuilding import rebuilt
from codeact.chats.settling import after_a_crash, loose_ends
from codeact.chats.tables import branches, entries
from codeact.chats.values import Entry, Options
from codeact.errors import Cancelled, ChatRefused, ModelError
from codeact.events import Text
from codeact.messages import Completion
from codeact.resuming import read


class HalfWay(Calculator):
    """As the calculator; on "half" it begins to write, and waits until it is stopped; on "fail" its server goes."""

    def complete(self, messages, *, observe, cancel, **options):
        asked = messages[-1].content.rpartition("\n\n")[2]
        if asked not in ("half", "fail"):
            return super().complete(messages, observe=observe, cancel=cancel, **options)
        self.sent.append(messages)
        observe(Text("Let me think.", "reasoning"))
        observe(Text("I would say that "))
        observe(Text("the answer"))
        if asked == "fail":
            raise ModelError("the model's server went away")
        stopped = threading.Event()
        with cancel.calling(stopped.set):
            stopped.wait(30)
        raise Cancelled


def stopped_half_way(chats, key, text="half"):
    at = chats.send(key, "me", text)
    while not any("the answer" in entry.data.get("text", "") for entry in chats.follow(key, "me", at, timeout=10)):
        pass
    assert chats.stop(key, "me")


def cuts(chats, key):
    return [entry.data for entry in chats.shown(key, "me") if entry.kind == "cut"]


def test_words_of_a_stopped_reply_are_kept_for_ever_in_one_entry_and_marked(make):
    chats = make(calculator=HalfWay())
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    stopped_half_way(chats, key)
    pieces = [{"type": "text", "text": "Let me think.", "channel": "reasoning"},
              {"type": "text", "text": "I would say that the answer", "channel": "reply"}]
    assert cuts(chats, key) == [{"pieces": pieces, "why": "it was stopped"}]
    assert kinds(chats, key)[-4:] == ["user", "cut", "ended", "stopped"]   # the pieces themselves are given up
    say(chats, key, "`print(x)`")
    assert cuts(chats, key) == [{"pieces": pieces, "why": "it was stopped"}]
    shown = [entry.kind for entry in chats.shown(key, "me")]
    assert shown == ["user", "turn", "turn", "ended", "user", "cut", "ended", "stopped", "user", "turn", "turn", "ended"]
    assert chats.turns(key, "me")[-1].answer == "1"


def test_the_model_is_told_what_it_was_asked_and_how_far_it_came_once(make):
    model = HalfWay()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "hello")
    stopped_half_way(chats, key)
    stopped_half_way(chats, key)
    say(chats, key, "`print(6 * 7)`")
    told = model.sent[-2][-1].content
    cut = "[Your reply to this came to no end: it was stopped.]\n[It had begun:]\nI would say that the answer"
    assert told == f"half\n\n{cut}\n\nhalf\n\n{cut}\n\n`print(6 * 7)`"
    say(chats, key, "thanks")
    assert model.sent[-1][-1].content == "thanks"


def test_a_first_message_that_was_stopped_is_told_with_the_next(make):
    model = HalfWay()
    chats = make(calculator=model)
    key = chats.create("me").id
    stopped_half_way(chats, key)
    say(chats, key, "hello")
    told = model.sent[-1][-1].content
    assert told.count("half") == 1
    assert told.endswith("I would say that the answer\n\nhello")


@pytest.mark.parametrize("asleep", [False, True])
def test_words_of_a_reply_whose_server_went_are_kept_and_told_also_after_sleep(make, asleep):
    model = HalfWay()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "hello")
    say(chats, key, "fail")
    assert kinds(chats, key)[-3:] == ["user", "cut", "error"]
    assert cuts(chats, key)[0]["why"] == "an error ended it"
    if asleep:
        chats.close()
        chats = make(calculator=model)
    say(chats, key, "again")
    told = model.sent[-1][-1].content
    assert told.startswith("fail\n\n[Your reply to this came to no end: an error ended it.]")
    assert told.endswith("the answer\n\nagain")


def test_the_same_said_again_after_a_failure_without_words_is_said_once(make):
    class Down(Calculator):
        def complete(self, messages, **options):
            if len(self.sent) == 1:
                self.sent.append(messages)
                raise ModelError("no answer")
            return super().complete(messages, **options)

    model = Down()
    chats = make(calculator=model)
    key = chats.create("me").id
    for words in ("hello", "what now", "what now"):
        say(chats, key, words)
    assert model.sent[-1][-1].content == "what now"


def test_what_the_model_was_told_is_in_the_database_and_makes_the_conversation_anew(make, tmp_path):
    model = HalfWay()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    chats.run_cell(key, "me", "x = 2")
    assert chats.wait(key, "me", 30)
    stopped_half_way(chats, key)
    say(chats, key, "what now")
    before = model.sent[-1]
    chats.close()
    shutil.rmtree(tmp_path / "home" / "conversations")
    chats = make(calculator=model)
    say(chats, key, "and now")
    assert model.sent[-1][: len(before)] == before


def test_an_edit_in_the_midst_of_an_exchange_stores_the_words_that_the_model_is_told(make, tmp_path):
    class Twice(Calculator):
        def complete(self, messages, *, observe, **options):
            self.sent.append(messages)
            n = sum(message.role == "assistant" for message in messages)
            return Completion("<solution>done</solution>" if n > 1 else f"<execute>\nx = {n}; print(x)\n</execute>")

    model = Twice()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "go")
    chats.edit(key, "me", 1, "x = 'mine'; print(x)")
    assert chats.wait(key, "me", 60)
    [told] = [entry for entry in chats.entries(key, "me") if entry.kind == "told"]
    assert "x = 'mine'" in told.data["text"]
    assert "I changed your cell" in told.data["text"]
    assert told.data["text"] in model.sent[-2][-1].content
    name = chats.summary(key, "me").branch
    kept = read(tmp_path / "home" / "conversations" / key / f"{name}.jsonl").trajectory
    assert rebuilt(chats.store, key).messages == kept.messages


def test_an_edited_cell_shows_nothing_of_a_state_that_came_back_whole(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`x = [1]`")
    say(chats, key, "`x.append(2); print(x)`")
    chats.edit(key, "me", 2, "x.append('edited'); print(x)")
    assert chats.wait(key, "me", 60)
    [done] = [entry.data for entry in chats.shown(key, "me") if entry.kind == "cell_done"]
    assert done["text"] == "[1, 'edited']"
    assert "restored" not in kinds(chats, key)
    assert "loaded" not in model.sent[-1][-1].content


def test_variables_that_an_edit_loses_are_named_to_user_and_model(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`import time; lines = iter([time.time()]); x = 1; open('f', 'w').close()`")
    say(chats, key, "`x = 2; print(x)`")
    chats.edit(key, "me", 2, "print(x)")
    assert chats.wait(key, "me", 60)
    [restored] = [entry.data for entry in chats.shown(key, "me") if entry.kind == "restored"]
    assert restored["lost"] == ["these variables: lines"]
    [done] = [entry.data for entry in chats.shown(key, "me") if entry.kind == "cell_done"]
    assert done["text"] == "1"
    assert "these variables: lines" in model.sent[-1][-1].content


def test_while_something_is_written_what_is_shown_ends_before_it(make):
    chats = make(calculator=HalfWay())
    key = chats.create("me").id
    say(chats, key, "hello")
    at = chats.send(key, "me", "half")
    while not any(entry.kind == "text" for entry in chats.follow(key, "me", at, timeout=10)):
        pass
    shown = chats.shown(key, "me")
    assert [entry.kind for entry in shown] == ["user", "turn", "ended", "user"]
    assert "text" in [entry.kind for entry in chats.entries(key, "me", after=shown[-1].seq)]
    chats.stop(key, "me")


def left(chats, key, *items):
    """As a program leaves it that is killed after these entries."""
    summary = chats.summary(key, "me")
    chats.store.add(key, [(kind, data, summary.n_turns if kind in ("user", "cell") else None) for kind, data in items], state="running")
    return chats.summary(key, "me")


ASKED = {"type": "approval", "tool": "erase", "arguments": {"name": "it"}, "granted": None, "call": "c1"}


def test_an_own_cell_that_was_cut_off_ends_with_what_it_had_printed_and_is_told(make, tmp_path):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    say(chats, key, "`x = 1`")
    summary = left(chats, key, ("cell", {"code": "x = slow()"}), ("output", {"type": "output", "text": "a\n", "stream": "stdout"}),
                   ("output", {"type": "output", "text": "b\n", "stream": "stdout"}), ("approval", ASKED))
    after_a_crash(chats.store, summary, tmp_path / "none.jsonl")
    assert kinds(chats, key)[-5:] == ["cell", "approval", "answered", "cell_done", "interrupted"]
    [done] = [entry.data for entry in chats.shown(key, "me") if entry.kind == "cell_done"]
    assert (done["status"], done["why"]) == ("interrupted", "the server ended")
    assert done["text"] == "a\nb\n[erase was not allowed: nobody answered]\n[the cell came to no end: the server ended]"
    say(chats, key, "what now")
    told = model.sent[-1][-1].content
    assert "x = slow()" in told
    assert "a\nb" in told
    chats.branch(key, "me", 1)   # the cell is in no state that could be undone
    say(chats, key, "`print(x)`")
    assert chats.turns(key, "me")[-1].answer == "1"


def test_a_question_that_was_answered_stays_answered(chats):
    key = chats.create("me").id
    summary = left(chats, key, ("code", {"type": "code", "code": "erase()"}), ("approval", ASKED), ("answered", {"call": "c1", "granted": True}))
    [(kind, cut, turn)] = loose_ends(chats.store, key, summary.branch, 0, "the server ended")
    assert (kind, turn, [one["type"] for one in cut["pieces"]]) == ("cut", 0, ["code"])


@pytest.mark.parametrize("text", ["`x = 5`", "hello"])
def test_a_turn_that_only_the_agents_file_has_takes_the_place_of_its_pieces(make, tmp_path, text):
    chats = make()
    key = chats.create("me").id
    say(chats, key, text)
    chats.close()
    chats = make()
    last = chats.summary(key, "me").n_turns - 1
    with chats.store._engine.begin() as connection:   # as if the server had died before this was committed
        connection.execute(entries.delete().where(entries.c.kind.in_(("turn", "ended")), entries.c.turn >= last))
        connection.execute(branches.update().values(n_turns=last))
    summary = left(chats, key, ("text", {"type": "text", "text": "I ru", "channel": "reply"}))
    after_a_crash(chats.store, summary, tmp_path / "home" / "conversations" / key / f"{summary.branch}.jsonl")
    assert chats.summary(key, "me").n_turns == last + 1
    assert chats.summary(key, "me").state == "idle"   # it was the answer
    assert "cut" not in kinds(chats, key)
    assert "text" not in kinds(chats, key)
    assert kinds(chats, key).count("turn") == last + 1


def test_an_answer_whose_end_alone_was_not_stored_is_no_interruption(chats, tmp_path):
    key = chats.create("me").id
    say(chats, key, "hello")
    after_a_crash(chats.store, left(chats, key), tmp_path / "none.jsonl")
    assert chats.summary(key, "me").state == "idle"
    assert "interrupted" not in kinds(chats, key)


def test_a_tool_that_waits_when_its_conversation_is_stopped_is_refused_and_nothing_stays_open(make, tmp_path):
    (tmp_path / "guarded.py").write_text(GUARDED)
    tool = f"{tmp_path}/guarded.py"
    chats = make(tools_allowed=[tool])
    key = chats.create("me", Options(model=OPTIONS.model, tools=(tool,))).id
    at = chats.send(key, "me", "`print(erase('it'))`")
    while not any(entry.kind == "approval" for entry in chats.follow(key, "me", at, timeout=10)):
        pass
    chats.stop(key, "me")
    assert loose_ends(chats.store, key, chats.summary(key, "me").branch, 1, "x") == []


def test_stop_settles_what_a_program_that_is_gone_has_left_running(make, tmp_path):
    chats = make()
    key = chats.create("me").id
    left(chats, key, ("user", {"text": "hello", "images": [], "files": []}), ("text", {"type": "text", "text": "I", "channel": "reply"}))
    assert chats.stop(key, "me")
    assert kinds(chats, key) == ["user", "cut", "interrupted"]
    assert chats.summary(key, "me").state == "interrupted"
    assert not chats.stop(key, "me")


def test_what_was_left_running_where_the_files_are_gone_is_settled_with_the_next_message(make):
    model = Calculator()
    chats = make(calculator=model)
    key = chats.create("me").id
    left(chats, key, ("user", {"text": "hello", "images": [], "files": []}), ("text", {"type": "text", "text": "I", "channel": "reply"}))
    say(chats, key, "again")
    assert kinds(chats, key)[:4] == ["user", "cut", "interrupted", "user"]
    assert "[It had begun:]\nI\n\nagain" in model.sent[-1][-1].content


def test_what_a_pause_has_lost_is_told_once_however_often_it_is_woken(make, tmp_path):
    chats = make()
    key = chats.create("me").id
    say(chats, key, "`import time; lines = iter([time.time()]); open('f', 'w').close()`")
    for _ in range(3):
        chats.close()
        chats = make()
        chats.variables(key, "me")
    assert kinds(chats, key).count("restored") == 1


# What programs and documents have of it -------------------------------------------------------------------------------


def test_a_turn_that_was_stopped_is_among_the_turns_and_marked(make):
    chats = make(calculator=HalfWay())
    key = chats.create("me").id
    stopped_half_way(chats, key)
    say(chats, key, "`print(6 * 7)`")
    cut, *whole = chats.turns(key, "me")
    assert (cut.number, cut.action, cut.status, cut.user["text"]) == (0, "cut", "interrupted", "half")
    assert (cut.thought, cut.reasoning) == ("I would say that the answer", "Let me think.")
    assert cut.text == "[it came to no end: it was stopped]"
    assert [(one.number, one.action) for one in whole] == [(0, "code"), (1, "answer")]
    assert chats.turns(key, "me", before=1) == [cut, whole[0]]


def test_a_turn_that_runs_is_among_the_turns_with_what_it_has_printed(make):
    chats = make()
    key = chats.create("me").id
    at = chats.send(key, "me", "`import time; print('so far', flush=True); time.sleep(30)`")
    while not any("so far" in str(entry.data.get("text")) for entry in chats.follow(key, "me", at, timeout=10) if entry.kind == "output"):
        pass
    [half] = chats.turns(key, "me")
    assert (half.action, half.status, half.user["text"][:12]) == ("cut", "running", "`import time")
    assert half.code.startswith("import time")
    assert half.text.startswith("so far\n")
    assert b"so far" in chats.export(key, "me", "md")[1]
    chats.stop(key, "me")


def test_what_is_stopped_and_the_users_own_cells_are_in_documents(make):
    import json

    chats = make(calculator=HalfWay())
    key = chats.create("me").id
    say(chats, key, "`theirs = 2`")
    chats.run_cell(key, "me", "print('together', 40 + theirs)")
    assert chats.wait(key, "me", 30)
    stopped_half_way(chats, key)
    at = chats.run_cell(key, "me", "print('on'); import time; time.sleep(30)")
    while not any(entry.kind == "output" for entry in chats.follow(key, "me", at, timeout=10)):
        pass
    chats.stop(key, "me")
    cells = json.loads(chats.export(key, "me", "ipynb")[1])["cells"]
    code = [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in cells if cell["cell_type"] == "code"]
    assert code == [("theirs = 2", []), ("print('together', 40 + theirs)", []),
                    ("print('on'); import time; time.sleep(30)", ["raises-exception"])]
    exec("\n".join(source for source, tags in code if not tags), {})   # it runs again, by itself
    words = chats.export(key, "me", "md")[1].decode()
    order = ["theirs = 2", "together 42", "> half", "Let me think.", "I would say that the answer",
             "This turn came to no end: it was stopped.", "Stopped.", "time.sleep(30)"]
    places = [words.index(one) for one in order]
    assert places == sorted(places)
    assert "half" not in chats.export(key, "me", "jsonl")[1].decode().split("\n")[1]   # finished turns alone


def test_a_cell_that_came_to_no_end_is_skipped_when_a_notebook_runs():
    from codeact.chats.document import document
    from codeact.export import notebook

    cut = {"why": "the server ended", "pieces": [{"type": "code", "code": "while True: pass"}, {"type": "output", "text": "on"}]}
    [_, cell, note] = notebook.from_parts(document([Entry(1, "cut", cut, 0.0, "b")]), "A title")["cells"]
    assert (cell["source"], cell["metadata"]) == ("while True: pass", {"tags": ["skip-execution"]})
    assert cell["outputs"][0]["text"] == "on"
    assert "the server ended" in note["source"]


def test_what_was_only_stopped_can_be_taken_along_too(make):
    chats = make(calculator=HalfWay())
    key = chats.create("me").id
    stopped_half_way(chats, key)
    assert b"I would say that" in chats.export(key, "me", "md")[1]
    with pytest.raises(ChatRefused, match="nothing to export"):
        chats.export(key, "me", "jsonl")


def test_figures_are_in_the_document_itself(make):
    chats = make()
    key = chats.create("me").id
    say(chats, key, "`from IPython.display import display; display({'image/png': b'picture', 'text/plain': 'x'}, raw=True)`")
    assert b"](data:image/png;base64," in chats.export(key, "me", "md")[1]


def test_what_a_model_wrote_after_its_code_is_no_part_of_what_was_cut():
    cut = Cut.of({"why": "it was stopped", "pieces": [{"type": "text", "channel": "reply", "text":
                  "I look.\n<execute>\nprint(1)\n</execute>\nObservation: it is 43"}]})
    assert (cut.words, cut.code, cut.ran) == ("I look.", "print(1)", False)
