"""`codeact "task"` as a user runs it: the real interpreter, a scripted model or a fake server, real files."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codeact import demo
from codeact.actions import ToolCall
from codeact.cli import main
from codeact.cli._files import Shelf
from codeact.cli._sheet import PlainSheet
from codeact.cli._terminal import Terminal
from codeact.cli._wrap import Wrap
from codeact.events import Code, Display, Output, Text
from codeact.formats._streaming import Reply
from codeact.trajectory import Stop, load

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from fake_openai import FakeServer, chunk, failed, streamed

sys.path.insert(0, str(Path(__file__).parent))
from person import Person

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
SHOW_PNG = f"""
import base64
class Dot:
    def _repr_png_(self): return base64.b64decode("{PNG}")
display(Dot())
"""
KEY = "sk-very-secret-1234567890"


def execute(code: str) -> str:
    return f"I run it.\n<execute>\n{code}\n</execute>"


ANSWER = "<solution>\nIt is 42.\n</solution>"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A current directory of the test's own, and no settings of the user's."""
    for name in ("CODEACT_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def script(*replies: str) -> str:
    """The flag for a model that says these."""
    Path("../script.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return "--model=scripted:../script.jsonl"


def test_a_task_is_done_and_its_answer_is_what_a_pipe_gets(capsys):
    assert main([script(execute("6 * 7"), ANSWER), "what", "is", "6 * 7?"]) == 0
    out, err = capsys.readouterr()
    assert out == "It is 42.\n"
    assert "  │ 6 * 7\n\n    42\n" in err
    assert "2 turns" in err


def test_words_without_code_are_an_answer_too(capsys):
    assert main([script("Hello!"), "hi"]) == 0
    assert capsys.readouterr().out == "Hello!\n"


def test_a_mistake_is_shown_to_the_model_and_the_run_goes_on(capsys):
    assert main([script(execute("1 / 0"), "<execute></execute>", ANSWER), "--save", "log.jsonl", "divide"]) == 0
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in err
    assert "could not be read" in err
    first, second, third = load("log.jsonl")[0].turns
    assert (first.observation.status, second.observation.status) == ("error", "none")
    assert "ZeroDivisionError" in first.observation.text
    assert "<execute>" in second.observation.text
    assert third.observation.stop is Stop.ANSWER


def test_state_stays_from_turn_to_turn(capsys):
    assert main([script(execute("x = 41"), execute("x + 1"), ANSWER), "count"]) == 0
    assert "    42\n" in capsys.readouterr().err


def test_figures_and_files_of_a_passing_workspace_are_kept_here(home, capsys):
    code = SHOW_PNG + "open('table.csv', 'w').write('a,b')\nopen('.cache', 'w').write('')"
    assert main([script(execute(code), ANSWER), "plot"]) == 0
    err = capsys.readouterr().err
    kept = home / "codeact-output"
    assert sorted(path.name for path in kept.iterdir()) == ["figure-1.png", "table.csv"]
    assert (kept / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    assert "[image/png 1x1] saved as codeact-output/figure-1.png" in err
    assert "  codeact-output/table.csv" in err


def test_nothing_of_an_earlier_run_is_overwritten(home):
    code = SHOW_PNG + "open('table.csv', 'w').write('a,b')"
    for _ in range(2):
        assert main([script(execute(code), ANSWER), "plot"]) == 0
    names = sorted(path.name for path in (home / "codeact-output").iterdir())
    assert names == ["figure-1.png", "figure-2.png", "table-2.csv", "table.csv"]


def test_in_a_workspace_of_the_users_files_are_made_there(home, capsys):
    (home / "work").mkdir(mode=0o777)
    (home / "work").chmod(0o777)
    (home / "work" / "in.txt").write_text("42")
    code = "open('out.txt', 'w').write(open('in.txt').read())" + SHOW_PNG
    assert main([script(execute(code), ANSWER), "--workspace", "work", "--live", "copy"]) == 0
    assert (home / "work" / "out.txt").read_text() == "42"
    assert (home / "work" / "figure-1.png").exists()
    assert not (home / "codeact-output").exists()


def test_events_come_as_lines_of_json_that_are_a_trajectory_too(home, capsys):
    assert main([script(execute(SHOW_PNG + "print('hi')"), ANSWER), "--json", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert {"text", "code", "display", "output", "turn"} <= set(kinds)
    Path("log.jsonl").write_text("\n".join(lines))
    (trajectory,) = load("log.jsonl")
    assert trajectory.answer == "It is 42."
    assert trajectory.about["task"] == "show"


def test_trajectories_are_added_to_a_file():
    for _ in range(2):
        assert main([script(ANSWER), "--save", "log.jsonl", "task"]) == 0
    assert [trajectory.answer for trajectory in load("log.jsonl")] == ["It is 42.", "It is 42."]


def test_running_out_of_turns_is_an_end_without_answer(capsys):
    assert main([script(*[execute("1")] * 3), "--max-turns", "2", "loop"]) == 1
    assert "--max-turns" in capsys.readouterr().err


def test_a_cell_has_the_time_it_was_given(capsys):
    assert main([script(execute("while True: pass"), ANSWER), "--timeout", "0.3", "loop"]) == 0
    assert "TimeoutError" in capsys.readouterr().err


def test_a_task_may_come_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("a long task\n"))
    assert main([script(ANSWER), "--save", "log.jsonl", "-"]) == 0
    assert load("log.jsonl")[0].about["task"] == "a long task"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plot it"], "no model is configured.*--model openai:"),
        (["exce"], "did you mean the verb `codeact exec`"),
        (["--model", "scripted:../s.jsonl", "--python", "/nowhere", "x"], "/nowhere"),
        (["--model", "scripted:none.jsonl", "x"], "cannot read the script none.jsonl"),
        (["--model", "scriptet:x", "x"], "unknown model 'scriptet'; available: "),
        (["--model", "no.such.module:x", "x"], "no module 'no.such.module'"),
        (["--model", "openai:gpt-5-mini", "x"], "OPENAI_API_KEY"),
        (["--model", "scripted:x", "--base-url", "http://x", "x"], "base_url"),
        (["--model", "scripted:x"], "what is the task"),
        ([""], 'what is the task. as: codeact "Plot'),
        (["--model", "scripted:", "x"], "which script.*as in scripted:replies.jsonl"),
        (["--model", "recorded:", "x"], "which recording.*as in recorded:run.jsonl"),
        (["--model", "recorded:../s.jsonl", "x"], "cannot read the recording ../s.jsonl: line 1: expected a JSON object"),
        (["--model", "scripted:x", "--workspace", "nowhere", "x"], "--workspace nowhere: there is no such folder"),
        (["--model", "scripted:x", "--workspace", "../s.jsonl", "x"], "--workspace ../s.jsonl: it is a file"),
        (["--model", "scripted:x", "--read", "nowhere", "x"], "--read nowhere: there is no such folder"),
        (["--model", "scripted:../s.jsonl", "--save", "no/x.jsonl", "x"], "no/x.jsonl: there is no folder no; make it first"),
        (["--model", "scripted:x", "--resume", "none.jsonl", "x"], "cannot read none.jsonl: No such file"),
        (["--model", "scripted:x", "--resume", "../s.jsonl", "x"], "cannot go on with ../s.jsonl: .*--resume takes a file that"),
        (["--model", "scripted:x", "--resume", "../s.jsonl", "--number", "1", "x"], "cannot go on with ../s.jsonl"),
        (["--model", "scripted:../s.jsonl", "--tool", "files", "x"], 'files takes a folder: "files:DIR"'),
        (["--max-turns", "0", "x"], "positive"),
        (["--timeout", "nan", "x"], "positive"),
        (["--model", "scripted:../s.jsonl", "--network", "some", "x"], "a name has a dot in it"),
        (["--model", "scripted:../s.jsonl", "--network", "none", "--network", "a.example", "x"], "--network none cannot"),
        (["--model", "scripted:../s.jsonl", "--network", "a.example", "--sandbox", "none", "x"], "network namespace"),
        (["--flag"], "unrecognized"),
    ],
)
def test_wrong_usage_is_told_with_what_to_do(argv, message, capsys):
    Path("../s.jsonl").write_text('"hi"\n')
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert re.search(message, err, re.S)
    assert "Traceback" not in err
    assert out == ""
    assert not Path("no").exists()


def test_an_unknown_sandbox_is_wrong_usage(capsys):
    assert main([script(ANSWER), "--sandbox", "paper", "x"]) == 2
    assert "unknown sandbox 'paper'" in capsys.readouterr().err


def test_a_script_that_ends_early_is_a_failure_of_the_model(capsys):
    assert main([script(execute("1")), "x"]) == 3
    assert "all have been given" in capsys.readouterr().err


def test_a_failing_server_is_told_without_a_traceback(capsys):
    with FakeServer(failed(401, "bad key")) as server:
        assert main(["--model", "openai:m", "--base-url", server.url, "x"]) == 3
    err = capsys.readouterr().err
    assert "bad key" in err
    assert "OPENAI_API_KEY" in err
    assert "Traceback" not in err


def test_a_task_over_http_keeps_the_key_from_cells_and_files(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    look = execute("import os\nprint(sorted(os.environ.items()))")
    answers = [streamed(*map(chunk, re.findall(r"(?s).{1,7}", reply)), chunk(finish="stop")) for reply in (look, ANSWER)]
    with FakeServer(*answers) as server:
        assert main(["--model", "openai:m", "--base-url", server.url, "--save", "log.jsonl", "--json", "look"]) == 0
    assert server.keys == [f"Bearer {KEY}"] * 2
    out, err = capsys.readouterr()
    assert "PATH" in out
    assert KEY not in out + err + Path("log.jsonl").read_text()


def test_help_teaches_and_lists_the_verbs(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "--base-url" in out
    assert "codeact exec" in out
    assert "codeact doctor" in out


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"codeact \d+\.\d+\.\d+\n", capsys.readouterr().out)


def run_codeact(*argv: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "codeact", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_ctrl_c_stops_the_cell_and_ends_the_run():
    code = "print('started', flush=True)\nimport time\ntime.sleep(60)"
    with run_codeact(script(execute(code), ANSWER), "--json", "--save", "log.jsonl", "wait") as process:
        for line in process.stdout:
            if "started" in line and '"output"' in line:
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    (trajectory,) = load("log.jsonl")
    assert trajectory.stop is Stop.CANCELLED
    assert trajectory.turns[0].observation.status == "interrupted"


def test_ctrl_c_stops_the_wait_for_a_model():
    def hang(handler):
        process.send_signal(signal.SIGINT)
        process.wait(30)

    with FakeServer(hang) as server:
        process = run_codeact("--model", "openai:m", "--base-url", server.url, "wait")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_traceback():
    with run_codeact(script(*[execute("1")] * 20), "--json", "wait") as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 3
    assert "Traceback" not in err


def test_the_demo_replays_our_conversation_with_a_real_plot(home, capsys):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    assert main(["--save", "log.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert "REPLAY" in err
    assert "OPENAI_API_KEY" in err
    (figure,) = (home / "codeact-output").iterdir()
    assert figure.read_bytes().startswith(b"\x89PNG")
    looked, failed_, totals, plotted, _ = load("log.jsonl")[0].turns
    assert "ValueError: could not convert string to float" in failed_.observation.text
    assert [turn.observation.status for turn in (looked, totals, plotted)] == ["ok"] * 3
    # What our answer claims is what the cells found.
    for number in re.findall(r"[\d,]+\.\d\d", out):
        assert number in plotted.observation.text
    assert "November" in plotted.observation.text


def test_the_demo_is_a_verb_too_whatever_is_configured(home, capsys, monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("CODEACT_MODEL", "openai:x")
    assert main(["demo"]) == 0
    assert "This is a REPLAY" in capsys.readouterr().err
    assert main(["demo", "word"]) == 2
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "codeact demo" in out
    assert "NO_COLOR=1" in out


def test_the_demo_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([]) == 2
    assert "pip install 'codeact[science]'" in capsys.readouterr().err


def test_the_file_of_the_demo_is_always_the_same():
    assert demo.sales() == demo.sales()
    assert demo.sales().splitlines()[1] == '2024-01-07,North,"1,086.00"'


# Tools, pictures, limits -----------------------------------------------------------------------------------------------

MAIL = execute("try:\n    print(send_mail('bob'))\nexcept PermissionError as error:\n    print(error)")
TOOL = ("--tool", "acting.tools")


def test_a_tool_that_asks_is_refused_where_nobody_can_be_asked(capsys):
    assert main([script(MAIL, ANSWER), *TOOL, "mail"]) == 0
    assert "send_mail() needs approval" in capsys.readouterr().err
    assert main([script(MAIL, ANSWER), *TOOL, "--yes", "mail"]) == 0
    err = capsys.readouterr().err
    assert "    > send_mail(to='bob', body='')\n" in err
    assert "    sent to bob\n" in err


def test_in_a_terminal_the_person_is_asked_and_keys_typed_before_do_not_answer():
    person = Person(script(execute("import sys; sys.stdin.readline()"), MAIL, ANSWER), *TOOL, "mail")
    person.press("y")   # waits, and is dropped
    person.see("Allow it?")
    person.press("x")
    person.press("\x03")
    assert person.end() == 130
    assert "sent to bob" not in person.text
    person = Person(script(MAIL, ANSWER), *TOOL, "mail")
    person.see("Allow it?")
    person.press("y")
    assert person.end() == 0
    assert "    sent to bob\n" in person.text
    assert "\nIt is 42.\n" in person.text


def test_a_task_may_be_done_in_another_format(capsys):
    from codeact.formats import text

    reply = text.create().spell(ToolCall("send_mail", {"to": "bob"}))
    assert main([script(reply, "It is sent."), *TOOL, "--yes", "--format", "text", "mail"]) == 0
    assert capsys.readouterr().out == "It is sent.\n"


def test_pictures_and_instructions_go_to_the_model(capsys):
    Path("dot.png").write_bytes(__import__("base64").b64decode(PNG))
    Path("more.txt").write_text("Be brief.")
    assert main(["--model", "acting.models:echo", "--image", "dot.png", "--instructions", "more.txt", "the prompt"]) == 0
    assert capsys.readouterr().out == "You said: the prompt (1 pictures) Be brief.\n"


def test_a_task_goes_on_from_a_file(capsys):
    assert main([script(execute("x = 41"), ANSWER), "--save", "log.jsonl", "begin"]) == 0
    assert main([script(execute("x + 1"), ANSWER), "--resume", "log.jsonl", "go on"]) == 0
    err = capsys.readouterr().err
    assert "    42\n" in err
    assert err.count("[2 turns, ") == 2   # each time those of this time
    (trajectory,) = load("log.jsonl")
    assert len(trajectory.turns) == 4


def test_a_second_conversation_in_a_file_is_told_and_each_can_be_gone_on_with(capsys):
    assert main([script(execute("x = 1"), ANSWER), "--save", "log.jsonl", "begin"]) == 0
    assert "already" not in capsys.readouterr().err
    assert main([script(ANSWER), "--save", "log.jsonl", "begin"]) == 0
    assert "log.jsonl holds 1 conversation already; this is another one, behind it. To go on with the last: --resume log.jsonl" in (
        " ".join(capsys.readouterr().err.split()))  # fmt: skip
    assert main([script(execute("x + 40"), ANSWER), "--resume", "log.jsonl", "--number", "1", "go on"]) == 0
    assert "    41\n" in capsys.readouterr().err
    assert main([script(ANSWER), "--resume", "log.jsonl", "--number", "4", "go on"]) == 2
    assert "no conversation 4 in log.jsonl: it has 3" in capsys.readouterr().err
    assert main([script(ANSWER), "--number", "1", "go on"]) == 2
    assert "--number goes with --resume FILE" in capsys.readouterr().err


def test_a_conversation_names_its_model_unless_that_would_be_imported(capsys):
    assert main([script(ANSWER), "--save", "log.jsonl", "begin"]) == 0
    assert main(["--resume", "log.jsonl", "again"]) == 0
    assert main(["--resume", "log.jsonl"]) == 2
    assert 'no task is under way in log.jsonl: say what to do next, as: codeact --resume log.jsonl "..."' in capsys.readouterr().err
    capsys.readouterr()
    Path("log.jsonl").write_text(Path("log.jsonl").read_text().replace("scripted:../script.jsonl", "acting.models:echo"))
    assert main(["--resume", "log.jsonl", "again"]) == 2
    assert "no model is configured" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [("--max-cost", "1"), ("--max-tokens", "1000"), ("--max-seconds", "0.2")])
def test_what_a_task_may_spend_is_held_to(limit, capsys):
    code = "__import__('time').sleep(30)" if "seconds" in limit[0] else "1"
    model = script(*[execute(code)] * 3).replace("scripted:", "acting.models:costly=")
    assert main([model, *limit, "spend"]) == 1
    err = capsys.readouterr().err
    assert f"allow more with {limit[0]}" in err
    assert "1 turn, " in err
    assert "1,000 tokens, $1.0000" in err


@pytest.mark.parametrize(("argv", "message"), [
    (["--image", "none.png", "x"], "cannot read the picture none.png"),
    (["--image", "../script.jsonl", "x"], "no picture that models read"),
    (["--instructions", "none.txt", "x"], "cannot read the instructions"),
    (["--resume", "none.jsonl", "x"], "none.jsonl"),
    (["--resume", "a", "--save", "b", "x"], "leave out --save"),
    (["--format", "jason", "x"], "unknown format 'jason'"),
    (["--tool", "nothing", "x"], "no tool 'nothing'"),
    (["--max-cost", "-1", "x"], "positive"),
])  # fmt: skip
def test_flags_that_cannot_be_had_are_told(argv, message, capsys):
    assert main([script(ANSWER), *argv]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


# What is shown --------------------------------------------------------------------------------------------------------


def segments(*pieces: str) -> list[tuple[str, str]]:
    reply = Reply()
    found = [segment for piece in pieces for segment in reply.feed(piece)] + list(reply.end())
    joined: list[tuple[str, str]] = []
    for kind, text in found:
        if joined and joined[-1][0] == kind:
            text = joined.pop()[1] + text
        joined.append((kind, text))
    return joined


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Look.\n<execute>\nx < 1\n</execute>", [("words", "Look.\n"), ("code", "x < 1\n")]),
        ("<thought>hm</thought>\n<solution>4</solution>", [("words", "hm\n"), ("answer", "4")]),
        ("So:\n```python\nx = 1\n```\nDone.", [("words", "So:\n"), ("code", "x = 1\n"), ("words", "Done.")]),
        ("<execute>\n```python\nx = 1\n```\n</execute>", [("code", "x = 1\n")]),
        ("<solution>\n```\nx\n```\n</solution>", [("answer", "```\nx\n```\n")]),
        ("a < b and a <", [("words", "a < b and a <")]),
        ("x = 1\n```", [("words", "x = 1\n")]),
    ],
)
def test_code_and_words_are_told_apart_however_a_reply_is_cut(reply, expected):
    assert segments(reply) == expected
    assert segments(*reply) == expected


def shown(*events, tmp_path, **options) -> str:
    import io

    screen = io.StringIO()
    terminal = Terminal(PlainSheet(screen), Shelf(tmp_path), **options)
    for event in events:
        terminal(event)
    terminal.finish()
    return screen.getvalue()


def test_parts_are_set_apart_and_have_their_margins(tmp_path):
    text = shown(Text("\n\nLook.\n\n<execute>\nx\n\ny\n</exe"), Text("cute>"), Code("x\n\ny"), Output("1\n2\n"), tmp_path=tmp_path)
    assert text == "Look.\n\n  │ x\n  │\n  │ y\n\n    1\n    2\n"


def test_code_is_shown_also_of_a_model_that_does_not_stream(tmp_path):
    assert shown(Code("x = 1"), tmp_path=tmp_path) == "  │ x = 1\n"


def test_a_terminal_cannot_be_steered_by_what_it_shows(tmp_path):
    hostile = "a\x1b[2Jb\x1b]52;c;aGk=\x07c\x9bd\x08e\rf\x00g"
    for event in (Text(hostile), Output(hostile), Output(hostile, "error")):
        text = shown(event, tmp_path=tmp_path)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
        assert "abce" in text   # the d ended a sequence


def test_much_output_is_cut_for_the_eye(tmp_path):
    text = shown(Code("f()"), *[Output("line\n")] * 1000, tmp_path=tmp_path)
    assert text.count("    line\n") == 100
    assert "... 900 more lines of output" in text


def test_a_long_traceback_is_shown_without_its_middle(tmp_path):
    text = shown(Output("".join(f"line {number}\n" for number in range(50)), "error"), tmp_path=tmp_path)
    assert "... 40 lines" in text
    assert text.endswith("line 49\n")


def test_a_figure_that_cannot_be_saved_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    text = shown(Display({"image/png": b"\x89PNG"}), tmp_path=tmp_path / "file")
    assert "could not be saved" in text


def test_lines_break_between_words():
    wrap = Wrap(10)
    pieces = ["The qui", "ck brown fo", "x\n\n", "jumps", " over"]
    assert "".join(map(wrap.feed, pieces)) + wrap.end() == "The quick\nbrown fox\n\njumps over"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "link", "folder/inner", "pipe", "folder", "missing"])
def test_only_regular_files_inside_a_workspace_are_copied(tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    work = tmp_path / "work"
    (work / "real").mkdir(parents=True)
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "folder").symlink_to(tmp_path)
    (tmp_path / "inner").write_text("secret")
    os.mkfifo(work / "pipe")
    assert Shelf(tmp_path / "out").add_copy(work, name) is None
    assert not (tmp_path / "out").exists()


# What is said once --------------------------------------------------------------------------------------------------------


def run_with_one_pipe(*words: str) -> str:
    """The command with standard output and standard error in one pipe, as behind `2>&1 |`."""
    done = subprocess.run([sys.executable, "-m", "codeact", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("answer", [ANSWER, "It is 42.", "```\nIt is 42.\n```"])
def test_the_answer_stands_once_where_both_streams_share_a_pipe(answer):
    out = run_with_one_pipe(script(execute("6 * 7"), answer), "what is it?")
    assert out.count("It is 42.") == 1
    assert "I run it." in out


def test_words_before_code_and_replies_that_cannot_be_read_are_still_shown():
    out = run_with_one_pipe(script("Some <execute></execute>", execute("6 * 7"), "It is 42."), "what is it?")
    assert out.index("Some") < out.index("could not be read") < out.index("I run it.") < out.index("  │ 6 * 7")
    assert out.endswith("It is 42.\n")


def test_files_of_a_live_workspace_are_listed_with_its_figures(home, capsys):
    (home / "work").mkdir(mode=0o777)
    (home / "work").chmod(0o777)
    code = SHOW_PNG + "open('out.txt', 'w').write('a'); open('gone', 'w').close(); import os; os.unlink('gone')"
    assert main([script(execute(code), ANSWER), "--workspace", "work", "--live", "write"]) == 0
    assert "Files for you:\n  work/figure-1.png\n  work/out.txt\n" in capsys.readouterr().err


def test_what_waits_for_apply_is_told_at_the_end_and_once(home, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(home.parent / "state"))
    (home / "work").mkdir(mode=0o777)
    (home / "work").chmod(0o777)
    assert main([script(execute("open('out.txt', 'w').write('a')"), ANSWER), "--workspace", "work", "write"]) == 0
    err = capsys.readouterr().err
    assert err.count("out.txt  (") == 1
    assert "Files for you" not in err
    assert "\n\n1 change to work waits for you; it is as it was:\n  A  out.txt  (1 byte" in err
    assert "codeact apply work            brings it over\n" in err
    assert main([script(execute("1"), ANSWER), "--workspace", "work", "again"]) == 0
    assert "Task: again\n\n    [goes on with 1 change to work that wait" in capsys.readouterr().err


def test_the_memory_of_a_task_can_be_set(capsys):
    assert main([script(execute("x = bytearray(10 ** 10)"), ANSWER), "--memory-mb", "300", "fill"]) == 0
    assert "[The session's memory limit is 300 MB; --memory-mb N sets another one.]" in capsys.readouterr().err


def test_a_wall_that_was_met_is_told_to_the_model_and_to_the_user(capsys):
    code = "import socket; socket.create_connection(('192.0.2.1', 80))"
    assert main([script(execute(code), ANSWER), "--save", "log.jsonl", "fetch"]) == 0
    if "NO WALLS" not in (err := capsys.readouterr().err):
        assert "--network HOST or --network all opens it" in err
        assert 'network=["HOST"] or network="all" opens it' in load("log.jsonl")[0].turns[0].observation.text


def test_a_task_that_was_under_way_goes_on_without_being_told_again(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps("<execute>\nx = 41\n</execute>") + "\n")
    assert main(["--model", f"scripted:{script}", "--max-turns", "1", "--save", "run.jsonl", "count"]) == 1
    script.write_text(json.dumps("<execute>\nprint(x + 1)\n</execute>") + "\n" + json.dumps("<solution>done</solution>"))
    assert main(["--model", f"scripted:{script}", "--resume", "run.jsonl"]) == 0
    shown = capfd.readouterr()
    assert shown.out == "done\n"
    assert "42" in shown.err
    assert main(["--model", f"scripted:{script}", "--resume", "run.jsonl"]) == 2
    assert "say what to do" in capfd.readouterr().err
