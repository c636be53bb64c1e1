"""`codeact chat` as a person has it: in a pseudo-terminal, with the real interpreter and models that are scripted."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.trajectory import load

sys.path.insert(0, str(Path(__file__).parent))
from person import Person

ADD = "I **add** them.\n\n<execute>\nx = sum(range(10))\nprint('the sum is', x)\n</execute>"
WAIT = "<execute>\nimport time\ny = 1\nprint('it runs')\ntime.sleep(300)\n</execute>"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A current directory of the test's own, and no settings of the user's."""
    for name in ("CODEACT_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def script(*replies: str, kind: str = "scripted:") -> str:
    """The flag for a model that says these."""
    Path("../script.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return f"--model={kind}../script.jsonl"


def conversations() -> list[Path]:
    return sorted(Path(os.environ["XDG_DATA_HOME"], "codeact/conversations").glob("*.jsonl"))


def test_a_conversation_shows_words_code_and_output_and_keeps_the_variables(home):
    table = "<execute>\nimport pandas as pd\npd.DataFrame({'city': ['Lisbon', 'Porto'], 'price': [12.5, 100]})\n</execute>"
    write = "<execute>\nopen('out.txt', 'w').write(str(x))\n</execute>"
    person = Person("chat", script(ADD, "<solution>It is **45**.</solution>", table, "Two cities.", write, "Written."))
    shown = person.say("add the numbers")
    assert "\nI add them.\n\n  │ x = sum(range(10))\n  │ print('the sum is', x)\n\n    the sum is 45\n\nIt is 45.\n" in shown
    assert "[2 turns, " in shown
    shown = person.say("show a table")
    assert "       city    price\n    -  ------  -----\n    0  Lisbon   12.5\n    1  Porto   100.0\n" in shown
    assert "wrote out.txt" in person.say("write it down")
    assert "x     int" in person.say("/vars")
    assert "out.txt      2" in person.say("/files")
    assert "the model does not tell" in person.say("/cost")
    assert person.leave() == 0
    assert "Files for you:\n  codeact-output/out.txt" in person.text
    assert (home / "codeact-output/out.txt").read_text() == "45"
    (path,) = conversations()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [turn.observation.status for turn in load(path)[0].turns] == ["ok", "none", "ok", "none", "ok", "none"]


def test_ctrl_c_stops_the_cell_and_a_second_one_the_turn():
    person = Person("chat", script(WAIT, "word " * 4000, kind="acting.models:slow="))
    person.type("wait")
    person.see("    it runs")
    person.see("the code runs")
    person.interrupt()
    person.see("KeyboardInterrupt")
    person.see("word word")   # the model was told and goes on
    person.interrupt()
    person.see("[stopped; the variables are kept.")
    assert "y     int" in person.say("/vars")
    person.press("half a line")
    person.see("half a line")
    person.interrupt()
    person.see("[Ctrl-D leaves]")
    assert person.leave() == 0


def test_undo_takes_the_variables_back_and_retry_does_it_again():
    again = ADD.replace("range(10)", "range(4)")
    person = Person("chat", script("<execute>\nx = 'before'\n</execute>", "Set.", ADD, "It is 45.", again, "It is 6."))
    person.say("set it")
    person.say("add the numbers")
    shown = person.say("/retry")
    assert "> add the numbers" in shown
    assert "the sum is 6" in shown
    assert "[2 turns, " in shown
    assert "x     int         6" in person.say("/vars")
    assert "nothing to continue: the last message has its answer" in person.say("/continue")
    shown = person.say("/undo")
    assert "[took back 1 message, with" in shown
    assert "nothing to continue: the last message has its answer" in person.say("/continue")
    assert "> add the numbers" in shown
    assert "x     str   6     'before'" in person.say("/vars")
    assert "takes a number" in person.say("/undo all")
    assert "[took back 1 message, which is all there was, with" in person.say("/undo 9")
    assert "nothing to take back" in person.say("/undo")
    assert "nothing to continue: nothing has been said yet" in person.say("/continue")
    assert "[no variables]" in person.say("/vars")
    assert person.leave() == 0


def test_a_tool_that_asks_waits_for_a_key():
    mail = "<execute>\ntry:\n    print(send_mail('bob', body='Hello'))\nexcept PermissionError:\n    print('not sent')\n</execute>"
    person = Person("chat", script(mail, mail, mail, mail, mail, "Done."), "--tool", "acting.tools", rows=120)
    person.type("mail")
    for keys, answer, output in (("y", "allowed", "sent to bob"), ("n", "refused", "not sent"), ("\x03", "refused", "not sent"),
                                 ("a", "always, in this session", "sent to bob")):  # fmt: skip
        n_answers, n_outputs = person.text.count(f"    {answer}\n"), person.text.count(f"    {output}\n")
        person.until(lambda: person.lines[person.screen.cursor.y].startswith("Allow it?"))
        assert "    send_mail asks to be run:\n        to = 'bob'\n        body = 'Hello'\n" in person.text
        person.press(keys)
        person.until(lambda: person.text.count(f"    {answer}\n") == n_answers + 1)
        person.until(lambda: person.text.count(f"    {output}\n") > n_outputs)
    person.see("Done.")   # the fifth was not asked about
    assert person.text.count("asks to be run") == 4
    assert "send_mail(to: str" in person.say("/tools")
    assert person.leave() == 0


def test_a_conversation_goes_on_where_it_was_left():
    person = Person("chat", script(ADD, "It is 45."))
    person.say("add the numbers")
    assert person.leave() == 0
    person = Person("chat", script("<execute>\nx + 1\n</execute>", "It is 46."), "--resume")
    person.prompted()
    assert "goes on after 1 message and 2 turns; the last message was" in person.text
    assert "came back: the variables x]" in person.text
    assert "> add the numbers\n\nIt is 45.\n" in person.text
    assert "    46\n" in person.say("one more")
    assert "x     int         45" in person.say("/vars")
    assert person.leave() == 0
    (path,) = conversations()
    (trajectory,) = load(path)
    assert [turn.reply and turn.reply.content for turn in trajectory.turns] == [None, "one more", None, None]


def test_an_undo_holds_when_the_conversation_goes_on_and_reaches_no_further_back():
    chat(script("Hello."), said="first\n/undo\n")
    shown = chat(script("Hello."), "--resume", said="/continue\n/undo\nsecond\n")
    assert "goes on where all that was said had been taken back" in shown
    assert "first" not in shown
    assert "nothing to take back" in shown
    chat(script(ADD, "It is 45."), said="add the numbers\n")
    shown = " ".join(chat(script("Well."), "--resume", said="/undo\n/retry\n").split())
    further = "resumed; since then: 0 messages Say what should be otherwise, or begin a new conversation with /reset."
    assert shown.count(further) == 2


def test_a_model_that_is_none_is_told_as_the_command_it_came_with():
    assert "/model names the model 'nope', and no profile is called so" in chat(script("Hello."), said="/model nope\n")


def chat(*words: str, said: str = "", cwd: str = ".") -> str:
    """A chat over pipes; all that it shows."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-m", "codeact", "chat", *words], input=said, capture_output=True, text=True,
                          timeout=60, check=False, cwd=cwd, env=given)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation_goes_on_with_the_flags_it_was_had_with(home):
    (home / "work").mkdir()
    chat("--model=acting.models:echo", "--workspace", "work", "--tool", "acting.tools", "--timeout", "7", said="hello\n")
    (home / "elsewhere").mkdir()
    shown = chat("--model=acting.models:echo", "--resume", "--timeout", "8", said="/tools\n", cwd="elsewhere")
    flat = " ".join(shown.split())
    assert f"As before: --tool acting.tools --workspace {home}/work]" in flat
    assert "send_mail(to: str" in shown
    assert f"Workspace: {home}/work, which stays as it is" in shown
    (home / "work").rmdir()
    shown = chat("--model=acting.models:echo", "--resume", said="")
    assert f"No longer there: --workspace {home}/work" in " ".join(shown.split())
    assert "Workspace: a fresh one" in shown


def test_the_flags_in_a_file_from_elsewhere_are_asked_about_or_only_told(home):
    chat("--model=acting.models:echo", "--tool", "acting.tools", "--save", "run.jsonl", said="hello\n")
    shown = chat("--model=acting.models:echo", "--resume", "run.jsonl", said="/tools\n")
    assert "This conversation was had with --tool acting.tools" in shown
    assert "give these flags again" in shown
    assert "[no tools" in shown
    for key, tools in (("n", "[no tools"), ("y", "send_mail(to: str")):
        person = Person("chat", "--model=acting.models:echo", "--resume", "run.jsonl")
        person.see("Have that again? [y/N]")
        person.press(f"{key}\r")
        assert tools in person.say("/tools")
        assert person.leave() == 0


@pytest.mark.parametrize("flags", [["--yes", "--tool", "x"], ["--frobnicate"], ["--timeout", "-1"], "--tool x", [1], ["--help"], ["word"]])
def test_flags_in_a_file_that_are_not_ours_are_passed_over(home, flags):
    (home / "run.jsonl").write_text(json.dumps({"type": "start", "version": 1, "about": {"flags": flags}, "prompt": [
        {"role": "user", "content": "hello"}]}) + "\n")  # fmt: skip
    shown = chat("--model=acting.models:echo", "--resume", "run.jsonl", said="/tools\n")
    assert "[no tools" in shown
    assert "--yes" not in shown


def test_one_conversation_of_several_in_a_file_can_be_gone_on_with(home):
    for n in (1, 2):
        chat(script(f"<execute>\nx = {n}\n</execute>", "Done."), "--save", "run.jsonl", said=f"set it to {n}\n")
    shown = chat(script("Well."), "--resume", "run.jsonl", "--number", "1", said="/vars\ngo on\n")
    assert "> set it to 1" in shown
    assert "x     int         1" in shown
    assert [len(one.turns) for one in load("run.jsonl")] == [2, 2, 3]
    assert main(["chat", "--model=acting.models:echo", "--resume", "run.jsonl", "--number", "9"]) == 2


def test_commands_say_what_they_cannot_do_and_what_there_is(home):
    person = Person("chat", script("Hello ```there```!", "Hello again."))
    assert "there is no command /udno; did you mean /undo?" in person.say("/udno").replace("\n    ", " ")
    assert "nothing to save" in person.say("/save a.md")
    person.press("\r\r  \r")   # nothing is sent
    shown = person.say("/help")
    for name in ("/undo", "/retry", "/vars", "/files", "/model", "/save", "/run", "/tools", "/cost", "/reset", "Ctrl-C"):
        assert name in shown
    assert "Hello" in person.say("/etc/hosts is a path and no command")
    assert "is saved as .ipynb, .md, .jsonl" in person.say("/save a.txt").replace("\n    ", " ")
    person.say("/save a.md")
    assert "/etc/hosts is a path" in Path("a.md").read_text()
    person.say("/save a.ipynb")
    assert json.loads(Path("a.ipynb").read_text())["nbformat"] == 4
    person.say("/save a.jsonl")
    assert load("a.jsonl")[0].answer == "Hello ```there```!"
    Path("a.jsonl").write_text("mine")
    person.type("/save a.jsonl")
    person.see("is there already. Replace it?")
    person.interrupt()
    person.see("[not saved]")
    person.type("/save a.jsonl")
    person.until(lambda: person.text.count("Replace it?") == 2 or person.lines[person.screen.cursor.y].startswith("a.jsonl is"))
    person.press("n")
    person.until(lambda: person.text.count("[not saved]") == 2)
    assert Path("a.jsonl").read_text() == "mine"
    assert "unknown model 'scriptet'" in person.say("/model scriptet:x")
    assert "the model is acting.models:echo" in person.say("/model acting.models:echo")
    assert "You said: hi" in person.say("hi")
    person.say("/reset")
    assert "nothing to save" in person.say("/save b.md")
    assert person.leave() == 0


def test_the_help_fits_a_narrow_terminal():
    person = Person("chat", "--model=acting.models:echo", columns=40)
    shown = person.say("/help")
    assert "\n    /undo [N]\n        take the last message back, and\n        all it did to the variables\n" in shown
    assert person.leave() == 0


def test_code_of_the_persons_own_runs_in_the_same_interpreter_and_the_model_is_told():
    person = Person("chat", "--model=acting.models:echo")
    assert "    42\n" in person.say("!z = 42; z")
    assert "ZeroDivisionError" in person.say("/run 1 / 0")
    shown = person.say("what did I do?")
    assert "The user ran this in the interpreter" in shown
    assert "z = 42; z" in shown
    assert "ZeroDivisionError" in shown
    assert "The user ran this" not in person.say("and now?")
    Path("dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    person.say("/image dot.png")
    assert "look (1 pictures)" in person.say("look")
    assert "no picture that models read" in person.say("/image ../script.jsonl") or "cannot read" in person.text
    assert person.leave() == 0


def test_a_cell_that_asks_for_a_line_gets_one():
    person = Person("chat", script("<execute>\nprint('hello', input('Your name? '))\n</execute>", "Nice."))
    person.type("ask me")
    person.see("Your name?")
    person.press("Bob\r")
    person.see("    hello Bob")
    assert person.leave() == 0


def test_pasted_lines_stay_one_message_and_alt_enter_begins_a_line():
    person = Person("chat", "--model=acting.models:echo")
    person.prompted()
    person.press("\x1b[200~one\ntwo\x1b[201~")
    person.see("  two")
    person.press("\x1b\rthree")
    person.see("  three")
    person.press("\r")
    person.see("You said: one\ntwo\nthree")
    assert person.leave() == 0
    person = Person("chat", "--model=acting.models:echo")
    person.prompted()
    person.press("\x1b[A")   # what was typed in the last chat
    person.see("\u203a one\n  two\n  three")
    person.interrupt()
    person.press("/he\t")
    person.see("\u203a /help")
    person.press("\r")
    person.see("leave, as Ctrl-D")
    assert person.leave() == 0
    typed = Path(os.environ["XDG_STATE_HOME"], "codeact/typed")
    assert stat.S_IMODE(typed.stat().st_mode) == 0o600
    assert stat.S_IMODE(typed.parent.stat().st_mode) == 0o700


def test_nothing_that_a_model_or_a_cell_writes_reaches_the_terminal_as_control():
    hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1b[31;47mA\x9bB\x1b]0;title\x07\x1bP1$r\x1b\\\u202eC"
    cell = f"<execute>\nprint({hostile!r} + 'D' * 100)\nraise ValueError({hostile!r})\n</execute>"
    person = Person("chat", script(f"Look: {hostile}\n\n{cell}", f"{hostile} " + "word " * 20, hostile), columns=44)
    shown = person.say("be hostile")
    assert "Look: AC" in shown.replace("B", "")
    assert "ValueError" in shown
    for bad in (b"\x1b]", b"\x1b[2J", b"\x1b[31;47m", b"\xc2\x9b", b"\x1bP", "\u202e".encode()):
        assert bad not in person.raw
    assert max(map(len, person.lines)) <= 43
    assert "    DDD" in shown
    assert person.leave() == 0


def test_colours_are_left_out_where_nobody_wants_them():
    person = Person("chat", script(ADD, "Done."), env={"NO_COLOR": "1"})
    person.say("add")
    assert person.leave() == 0
    assert not any(f"\x1b[{code}".encode() in person.raw for code in ("31m", "32m", "36m", "94m", "38;5", "1;36m"))


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_text():
    mail = "<execute>\nprint(send_mail('bob'))\n</execute>"
    person = Person("chat", script(mail, "Sent."), "--tool", "acting.tools", env={"TERM": "dumb"})
    person.see("\n>")
    person.press("mail\r")
    person.see("Allow it?")
    person.press("y")
    person.see("    sent to bob")
    person.see("Sent.")
    person.see("[2 turns")
    person.press("\x04")
    assert person.end() == 0
    assert b"\x1b" not in person.raw.replace(b"\x1b[?2004h", b"").replace(b"\x1b[?2004l", b"")


def test_a_pipe_has_a_conversation_line_by_line():
    done = subprocess.run([sys.executable, "-m", "codeact", "chat", script(ADD, "It is 45.")], input="add\n/vars\n/udno\n",
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "    the sum is 45\n\nIt is 45.\n" in done.stdout
    assert "x     int         45" in done.stdout
    assert "did you mean /undo?" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_model_that_fails_ends_the_exchange_and_not_the_chat():
    person = Person("chat", script(ADD))
    shown = person.say("add")
    assert "all have been given" in shown
    assert "/retry tries again" in shown
    assert "x     int" in person.say("/vars")
    assert person.leave() == 0


@pytest.mark.parametrize(("words", "message"), [
    ([], "no model is configured"),
    (["--model", "scripted:none.jsonl"], "cannot read the script none.jsonl"),
    (["--model", "acting.models:echo", "--resume"], "no conversation to go on with yet"),
    (["--model", "acting.models:echo", "--resume", "none.jsonl"], "no conversation in none.jsonl"),
    (["--model", "acting.models:echo", "--resume", "x", "--save", "y"], "leave out --save"),
    (["--model", "acting.models:echo", "--resume", __file__], "--resume takes a file that --save wrote"),
    (["--model", "acting.models:echo", "--save", "no/x.jsonl"], "there is no folder no; make it first"),
    (["--model", "acting.models:echo", "--tool", "nothing"], "there is no tool 'nothing'"),
    (["--model", "acting.models:echo", "--instructions", "none.txt"], "cannot read the instructions"),
])  # fmt: skip
def test_what_keeps_a_chat_from_beginning_is_told(words, message, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert main(["chat", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_help_lists_flags_and_commands(capsys):
    assert main(["chat", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--resume" in out
    assert "/undo [N]" in out
    assert "Ctrl-C stops the running code" in out


def test_a_folder_of_the_persons_stays_as_it_is_and_files_tells_what_waits(home):
    (home / "work").mkdir(mode=0o777)
    (home / "work").chmod(0o777)
    done = subprocess.run([sys.executable, "-m", "codeact", "chat", script("<execute>\nopen('new.txt', 'w').write('a')\n</execute>", "Written."),
                           "--workspace", "work"], input="write\n/files\n", capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 change to work waits for you") == 2   # asked for, and at the end
    assert "A  new.txt" in done.stdout
    assert not (home / "work/new.txt").exists()


def test_a_window_that_is_closed_ends_the_chat_with_the_files_kept(home):
    person = Person("chat", script("<execute>\nopen('out.txt', 'w').write('kept')\n</execute>", "Written."))
    person.say("write")
    os.close(person.child.child_fd)   # the terminal is gone, and the program is told so
    _, status = os.waitpid(person.child.pid, 0)
    person.child.closed = True
    assert os.waitstatus_to_exitcode(status) in (0, 129)   # the prompt sees the end, or the signal comes first
    assert (home / "codeact-output/out.txt").read_text() == "kept"


def test_a_cell_that_will_not_stop_is_ended_and_that_is_told():
    stubborn = "<execute>\nimport time\nprint('it runs')\nwhile True:\n    try:\n        time.sleep(100)\n    except BaseException:\n        print('no')\n</execute>"
    person = Person("chat", script("<execute>\nx = 1\n</execute>", stubborn, "Well.", kind="acting.models:slow="))
    person.type("be stubborn")
    person.see("    it runs")
    person.interrupt()
    person.see("Ctrl-C again stops the turn")
    person.interrupt()
    person.see("[stopped; the variables are as they were before the last cell.")
    assert "x     int         1" in person.say("/vars")
    assert person.leave() == 0
