"""`codeact changes`, `apply` and `discard`: what a task or exec did to a folder, seen and decided by the user."""

import json
import os
import signal
import subprocess
import sys

import pytest

from codeact.cli import main

COMMAND = [sys.executable, "-m", "codeact"]


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A folder of the user's, the current one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n")
    (folder / "sub" / "x").write_text("x\n")
    monkeypatch.chdir(folder)
    return folder


def codeact(*words, code=0):
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


CELL = "open('a.txt', 'w').write('two\\n'); open('sub/new', 'w').write('n\\n'); import os; os.unlink('sub/x')"


def test_a_path_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for verb in ("changes", "apply", "discard"):
        assert main([verb, "nosuchdir"]) == 2
        assert "there is no 'nosuchdir' here, and no changes are pending" in capsys.readouterr().err


def test_exec_leaves_the_folder_as_it_is_and_says_what_waits(work):
    out, err = codeact("exec", "--workspace", ".", CELL)
    assert out == ""
    assert f"3 changes to {work} wait for you; it is as it was:\n" in err
    assert "  M  a.txt  (4 bytes)" in err
    assert err.endswith("codeact changes --diff   shows them\ncodeact apply            brings them over\n"
                        "codeact discard          drops them\n")
    assert (work / "a.txt").read_text() == "one\n"
    out, err = codeact("exec", "--workspace", ".", "open('a.txt').read()")
    assert out == "'two\\n'\n"
    assert f"[goes on with 3 changes to {work} that wait since an earlier run]" in err
    assert codeact("changes")[0] == "M  a.txt  (4 bytes)\nA  sub/new  (2 bytes)\nD  sub/x  (2 bytes)\n"
    assert codeact("changes", "--diff", "a.txt")[0] == "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n"


def test_what_waits_is_told_with_commands_that_work_from_here(work, monkeypatch):
    monkeypatch.chdir(work.parent)
    work.rename("my work")
    _, err = codeact("exec", "--workspace", "my work", "open('new', 'w').write('n')")
    assert "1 change to my work waits for you; it is as it was:\n  A  new  (1 byte" in err
    assert "codeact apply 'my work'            brings it over\n" in err
    assert codeact("apply", "my work")[0] == "applied new\n"


def test_changes_are_applied_and_discarded_from_anywhere(work, monkeypatch, capsys):
    codeact("exec", "--workspace", ".", CELL)
    monkeypatch.chdir(work / "sub")
    assert main(["apply", "new"]) == 0
    assert capsys.readouterr().out == "applied sub/new\n"
    monkeypatch.chdir(work.parent)
    assert main(["changes", "work"]) == 0
    assert capsys.readouterr().out == "M  a.txt  (4 bytes)\nD  sub/x  (2 bytes)\n"
    assert main(["discard", "work", "work/sub"]) == 0
    assert main(["apply", "--workspace", "work", "a.txt"]) == 0
    assert (work / "a.txt").read_text() == "two\n"
    assert sorted(os.listdir(work / "sub")) == ["new", "x"]
    capsys.readouterr()
    for verb in ("changes", "apply", "discard"):
        assert main([verb, "--workspace", "work"]) == 0
    assert capsys.readouterr().out == "no changes are pending for work\n" * 3
    assert os.listdir(work.parent / "state" / "codeact" / "changes") == []


def test_a_conflict_says_so_and_stops(work, capsys):
    codeact("exec", "--workspace", ".", CELL)
    (work / "a.txt").write_text("mine\n")
    assert main(["apply"]) == 1
    assert "'a.txt'" in capsys.readouterr().err
    assert (work / "a.txt").read_text() == "mine\n"
    assert (work / "sub" / "x").exists()
    assert main(["changes"]) == 0
    assert "CONFLICT: it was changed meanwhile" in capsys.readouterr().out
    assert main(["apply", "--force"]) == 2
    assert main(["apply", "--force", "a.txt"]) == 0
    assert (work / "a.txt").read_text() == "two\n"


def test_as_json_and_the_list_of_folders(work, capsys):
    codeact("exec", "--workspace", ".", "import os; os.mkfifo('pipe'); open(b'\\xff\\n', 'w').write('1')")
    assert main(["changes", "--json", "--diff"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["folder"] == str(work)
    assert report["layer"] in ("overlay", "copy")
    assert [(change["path"], change["refused"]) for change in report["changes"]] == [("pipe", "a named pipe"), ("\udcff\n", None)]
    assert main(["changes", "--all"]) == 0
    assert capsys.readouterr().out == f"{work}\n"
    assert main(["apply"]) == 0
    assert capsys.readouterr().out == "applied \\udcff\\n\nleft out pipe: a named pipe\n"
    assert main(["discard"]) == 0
    capsys.readouterr()
    assert main(["changes", "--all"]) == 0
    assert capsys.readouterr().out == "no changes are pending anywhere\n"


@pytest.mark.parametrize(("words", "code", "said"), [
    (["changes", "--help"], 0, "examples:"), (["apply", "--flag"], 2, "unrecognized"), (["apply", "nothing"], 2, "no changes"),
    (["changes", "--workspace", "nowhere"], 2, "no such folder"), (["exec", "--live", "1"], 2, "--workspace DIR"),
    (["--live", "--model", "scripted:x", "task"], 2, "--workspace DIR"), (["changes", "--all", "--flag"], 2, "unrecognized"),
])  # fmt: skip
def test_usage(words, code, said, capsys):
    assert main(words) == code
    assert said in "".join(capsys.readouterr())


def test_a_path_where_nothing_changed_is_named(work, capsys):
    codeact("exec", "--workspace", ".", CELL)
    assert main(["apply", "a.txt", "b.txt"]) == 2
    assert "nothing is changed at 'b.txt'; changed are: 'a.txt', 'sub/new', 'sub/x'" in capsys.readouterr().err
    assert (work / "a.txt").read_text() == "one\n"


def test_while_a_command_works_on_them_nobody_else_does(work, capsys):
    running = subprocess.Popen([*COMMAND, "exec", "--workspace", ".", "open('a.txt', 'w').write('two'); print('there', flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert running.stdout.readline() == b"there\n"
        assert main(["apply"]) == 1
        assert "another codeact is at work" in capsys.readouterr().err
        assert codeact("exec", "--workspace", ".", "1", code=3)[1].startswith("codeact exec: another codeact")
    finally:
        running.communicate(b"\n")
    assert main(["apply"]) == 0
    assert (work / "a.txt").read_text() == "two"


def test_a_killed_command_leaves_its_changes(work):
    running = subprocess.Popen([*COMMAND, "exec", "--workspace", ".", "open('a.txt', 'w').write('two'); print('there', flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert running.stdout.readline() == b"there\n"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert (work / "a.txt").read_text() == "one\n"
    assert codeact("exec", "--workspace", ".", "open('a.txt').read()")[0] == "'two'\n"
    codeact("apply")
    assert (work / "a.txt").read_text() == "two"


def test_a_task_works_on_the_folder_and_leaves_it_as_it_is(work, capsys, tmp_path):
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps(f"<execute>\n{CELL}\n</execute>") + "\n" + json.dumps("Done.") + "\n")
    assert main(["--model", f"scripted:{script}", "--workspace", ".", "do it"]) == 0
    assert "3 changes to" in capsys.readouterr().err
    assert (work / "a.txt").read_text() == "one\n"
    assert main(["apply"]) == 0
    assert (work / "a.txt").read_text() == "two\n"
