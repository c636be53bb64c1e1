"""Branches, undo and checkpoints with files: states that live side by side, and ways back."""

import os
import signal
import stat
import sys
import threading

import pytest

from codeact import Interpreter, Limits, tool
from codeact.errors import InterpreterBusy, InterpreterGone
from codeact.interpreter import copies, mirror, transfer


def value(py, code):
    result = py.run(code)
    assert result.error is None, result.text
    return result.text.partition(": ")[2]


@pytest.fixture(params=[3, 2, 0])
def py(request):
    # As root, at level 2, a Python in root's home cannot be reached
    hidden = request.param == 2 and os.getuid() == 0 and "/root/" in os.path.realpath(sys.executable)
    with Interpreter(sandbox=request.param, python="/usr/bin/python3" if hidden else None) as py:
        yield py


def test_a_branch_begins_with_the_state_of_now_and_goes_its_own_way(py):
    py.run("x = [1, 2]")
    with py.branch() as branch:
        branch.run("x.append(3)")
        assert value(branch, "x") == "[1, 2, 3]"
        assert value(py, "x") == "[1, 2]"
        py.run("x = None")
        assert value(branch, "x") == "[1, 2, 3]"


@pytest.mark.parametrize("cells", [2, copies.REPLAY_IN_BRANCH_CELLS + 1])
def test_a_branch_after_pure_cells_has_what_they_did_and_needs_no_copy_for_a_few(py, cells, monkeypatch):
    monkeypatch.setattr(copies, "REPLAY_IN_BRANCH_SECONDS", 60.0)   # a busy machine takes long for a short cell
    py.run("import math\nx = [1]")
    py.checkpoint()
    held = len(py._backend._history.copies.states)
    for number in range(cells):
        py.run(f"y = {number}\nprint(y)\ny + 1")
    with py.branch() as branch:
        few = cells <= copies.REPLAY_IN_BRANCH_CELLS
        assert len(py._backend._history.copies.states) == held + (not few)
        assert value(branch, "x, y, _, len(In)") == value(py, "x, y, _, len(In)") == f"([1], {cells - 1}, {cells}, {cells + 3})"
        branch.undo(2)
        assert value(branch, "y") == str(cells - 2)


def test_a_branch_has_copies_of_the_files_in_a_folder_of_its_own(py):
    py.run("import os\nos.makedirs('a/b')\nopen('a/b/f.txt', 'w').write('first')\nos.symlink('a/b/f.txt', 'link')")
    with py.branch() as branch:
        assert branch.workspace != py.workspace
        assert value(branch, "os.getcwd() == os.environ['HOME'] and os.getcwd()") == repr(str(branch.workspace))
        assert value(branch, "open('link').read()") == "'first'"
        branch.run("open('a/b/f.txt', 'a').write(' and more')\nopen('new.txt', 'w').write('n')")
        assert (branch.workspace / "new.txt").read_text() == "n"
        assert value(py, "sorted(os.listdir()), open('link').read()") == "(['a', 'link'], 'first')"


def test_a_branch_stays_in_the_folder_it_was_in(py):
    py.run("import os\nos.mkdir('inner')\nos.chdir('inner')")
    with py.branch() as branch:
        # An empty folder is no file: it is not copied, and the branch is in the nearest that is there
        assert value(branch, "os.getcwd()") == repr(str(branch.workspace))
    py.run("open('f.txt', 'w').close()")
    with py.branch() as branch:
        assert value(branch, "os.getcwd()") == repr(str(branch.workspace / "inner"))


@pytest.mark.parametrize("first", ["parent", "branch"])
def test_either_may_be_closed_first(py, first):
    py.run("x = 1")
    branch = py.branch()
    one, other = (py, branch) if first == "parent" else (branch, py)
    one.close()
    assert value(other, "x") == "1"
    base = other.workspace.parent.parent
    other.close()
    assert not base.exists()


@pytest.mark.parametrize("code", ["import os\nos._exit(3)", "import ctypes\nctypes.string_at(0)",
                                  "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"])
def test_a_death_in_one_leaves_the_other_alone(py, code):
    py.run("x = [1]")
    with py.branch() as branch:
        branch.run("x.append(2)")
        for one in (py, branch, py):
            result = one.run(code)
            assert result.status == "died"
            assert result.lost == []
            assert value(py, "x") == "[1]"
            assert value(branch, "x") == "[1, 2]"


def test_how_a_branch_died_is_told(py):
    with py.branch() as branch:
        assert "exit code 3" in branch.run("import os\nos._exit(3)").text
        assert "SIGSEGV" in branch.run("import ctypes\nctypes.string_at(0)").text


def test_the_children_of_a_branch_survive_a_crash_of_the_other(py):
    with py.branch() as branch:
        branch.run("import subprocess\nchild = subprocess.Popen(['sleep', '60'])")
        py.run("import os\nos._exit(1)")
        assert value(branch, "child.poll() is None") == "True"
        branch.run("child.kill()")


def test_branches_of_branches_run_at_the_same_time(py):
    py.run("path = []")
    branches = [py]
    for n in range(4):
        branches.append(branches[-1].branch())
        branches[-1].run(f"path.append({n})")
    found = {}
    threads = [threading.Thread(target=lambda n=n, one=one: found.update({n: value(one, "sum(range(10**5)) and path")}))
               for n, one in enumerate(branches)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: repr(list(range(n))) for n in range(5)}
    for branch in branches[1:]:
        branch.close()
    assert value(py, "path") == "[]"


def test_a_branch_has_the_tools_and_its_own_numbers():
    @tool
    def double(n: int) -> int:
        """Twice n."""
        return 2 * n

    with Interpreter([double]) as py:
        py.run("a = double(2)")
        with py.branch() as branch:
            assert branch.run("double(a)").text == "Out[2]: 8"
            assert py.run("double(1)").text == "Out[2]: 2"


def test_random_numbers_of_branches_differ_unless_a_seed_was_chosen(py):
    py.run("import random")
    with py.branch() as one, py.branch() as other:
        assert value(one, "random.random()") != value(other, "random.random()")
    py.run("random.seed(1)")
    with py.branch() as one, py.branch() as other:
        assert value(one, "random.random()") == value(other, "random.random()")


def test_where_a_thread_runs_the_branch_is_a_replay(py):
    py.run("x = 1")
    py.run("import threading\nstop = threading.Event()\nthread = threading.Thread(target=stop.wait, daemon=True)\nthread.start()")
    py.run("x += 1\nopen('f.txt', 'w').write(str(x))")
    with py.branch() as branch:
        assert value(branch, "x, open('f.txt').read()") == "(2, '2')"
        branch.run("x = 0")
        assert value(py, "x") == "2"
    py.run("stop.set()")


def test_a_branch_in_a_folder_of_the_users_works_in_it_too(tmp_path):
    (tmp_path / "data.txt").write_text("mine")
    tmp_path.chmod(0o777)
    with Interpreter(workspace=tmp_path) as py, py.branch() as branch:
        assert branch.workspace == py.workspace == tmp_path
        assert value(branch, "open('data.txt').read()") == "'mine'"


def test_a_busy_interpreter_makes_no_branch():
    with Interpreter() as py:
        running = threading.Event()
        thread = threading.Thread(target=py.run, args=("print('up')\nimport time\ntime.sleep(60)",),
                                  kwargs={"on_output": lambda _: running.set()})
        thread.start()
        assert running.wait(30)
        with pytest.raises(InterpreterBusy):
            py.branch()
        with pytest.raises(InterpreterBusy):
            py.undo()
        py.interrupt()
        thread.join()
    with pytest.raises(InterpreterGone):
        py.branch()


def test_undo_takes_cells_back_with_their_files(py):
    py.run("x = 1\nopen('f.txt', 'w').write('1')")
    py.run("x = 2\nopen('f.txt', 'w').write('2')\nopen('g.txt', 'w').write('g')")
    py.run("import os\nos.remove('f.txt')")
    assert py.undo() == []
    assert value(py, "x, open('f.txt').read()") == "(2, '2')"
    assert py.undo(2) == []
    assert value(py, "import os\nx, open('f.txt').read(), os.listdir()") == "(1, '1', ['f.txt'])"


def test_undo_goes_far_back_by_running_cells_again(py):
    with open(py.workspace / "log.txt", "w"):
        pass
    for n in range(8):
        py.run(f"names = {n}\nopen('log{n}.txt', 'w').write('x')")
    assert py.undo(5) == []
    assert value(py, "import os\nnames, sorted(os.listdir())") == "(2, ['log.txt', 'log0.txt', 'log1.txt', 'log2.txt'])"


def test_undo_of_everything_is_the_beginning(py):
    py.run("x = 1")
    assert py.undo(100) == []
    assert py.run("x").error.name == "NameError"
    with pytest.raises(ValueError, match="positive whole number"):
        py.undo(0)


def test_a_checkpoint_brings_small_files_back_and_names_large_ones(py, monkeypatch):
    monkeypatch.setattr(mirror, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(mirror, "FICLONE", 0)
    py.run("import os\nopen('small', 'w').write('a')\nopen('large', 'w').write('a' * 2000)\nos.chmod('small', 0o755)\nx = 1")
    mode = value(py, "oct(os.stat('small').st_mode)")   # at level 2 a change of it is pretended
    py.checkpoint("one")
    py.run("open('small', 'w').write('b')\nopen('large', 'w').write('b' * 2000)\nopen('new', 'w').close()\nx = 2")
    lost = py.restore("one")
    assert lost == ["large is as it is now: too large to be kept"]
    assert value(py, "x, open('small').read(), open('large').read()[0], os.path.exists('new')") == "(1, 'a', 'b', False)"
    assert value(py, "oct(os.stat('small').st_mode)") == mode
    assert value(py, "open('small', 'a').write('c')") == "1"


def test_what_the_host_put_into_the_workspace_is_not_taken_away(py):
    py.checkpoint("one")
    (py.workspace / "upload.csv").write_text("a,b\n")
    py.run("y = 1")
    py.restore("one")
    assert (py.workspace / "upload.csv").read_text() == "a,b\n"


def test_links_in_the_workspace_lead_nothing_out_of_it(py, tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    target.chmod(0o666)
    py.run("import os\nos.mkdir('d')\nopen('d/f', 'w').write('1')")
    py.checkpoint("one")
    py.run(f"import shutil\nshutil.rmtree('d')\nos.symlink({str(tmp_path)!r}, 'd')\nos.symlink({str(target)!r}, 'f')")
    py.restore("one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]
    assert target.read_text() == "mine"
    assert not (py.workspace / "f").exists()


def test_what_is_kept_of_files_is_nobody_elses_to_read(py):
    py.run("open('small', 'w').write('a')")
    py.checkpoint("one")
    assert stat.S_IMODE(py._backend._mirror.store._folder.stat().st_mode) == 0o700


def test_an_undo_names_the_files_that_were_too_large_to_be_kept(py, monkeypatch):
    monkeypatch.setattr(mirror, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(mirror, "FICLONE", 0)
    py.run("open('large', 'w').write('a' * 2000)")
    py.run("open('large', 'w').write('b' * 2000)")
    assert py.undo(1) == ["large is as it is now: too large to be kept"]


def test_a_state_with_a_name_stays_while_others_make_room_for_one_another():
    with Interpreter(imports=(), limits=Limits(checkpoints=1)) as py:
        py.run("import random\nx = random.random()")
        before = value(py, "x")
        assert py.checkpoint("mark").frozen
        for n in range(4):
            py.run(f"open('f{n}', 'w').close()")   # each leaves a copy of its own
        assert py.restore("mark") == []
        assert value(py, "x") == before


def test_named_checkpoints_tell_age_and_memory(py):
    py.run("block = bytearray(40_000_000)")
    py.checkpoint("large")
    py.run("block = None")
    mark = py.checkpoints["large"]
    assert mark.age_seconds >= 0
    assert mark.frozen
    assert mark.memory_kb > 35_000


def test_limits_of_memory_are_each_sessions_own():
    with Interpreter(limits=Limits(memory_mb=300)) as py:
        py.run("block = bytearray(150_000_000)")
        with py.branch() as branch:
            assert branch.run("more = bytearray(100_000_000)").error is None
            assert value(py, "len(block)") == "150000000"
            assert branch.run("import time\nlast = bytearray(200_000_000)\ntime.sleep(30)").error is not None
            assert value(py, "len(block)") == "150000000"


def test_nothing_of_a_family_is_left_when_the_walls_fall():
    with Interpreter() as py:
        py.run("x = 1")
        with py.branch() as branch:
            signal.pidfd_send_signal(py._backend._session.keeper.pidfd, signal.SIGKILL)
            session = py._backend._session
            while py._backend._session is session:
                py.run("1")
            session = branch._backend._session
            assert value(py, "x") == "1"
            while branch._backend._session is session and branch.run("x").error:
                pass
            assert value(branch, "x") == "1"


def test_a_cell_that_a_dying_worker_did_not_take_is_run_by_the_next_one(py, monkeypatch):
    py.run("x = 1\nopen('f.txt', 'w').close()")
    running = py._backend._session.running
    runner, looks = py._backend._runner, []
    really = runner.is_alive
    monkeypatch.setattr(runner, "is_alive", lambda: (not looks and not looks.append(1)) or really())   # it dies after the look
    running.connection.sock.shutdown(2)
    result = py.run("x + 1")
    assert result.text.startswith("Out[2]: 2"), result.text
    assert "started again" in result.text


@pytest.mark.parametrize("replaced", ["link", "new folder"])
def test_a_branch_hands_nothing_over_that_the_session_puts_in_its_place(monkeypatch, tmp_path, replaced):
    """What is left running in a session may swap a name in its folders at any moment; as root that was an owner."""
    victim = tmp_path / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    before = victim.stat()
    from codeact.interpreter import settings

    made = settings.tempfile.mkdtemp

    def swapped(*args, **kwargs):
        path = made(*args, **kwargs)
        if os.path.basename(os.path.dirname(path)) == settings.SPACES:   # as the session can, in there
            os.rmdir(path)
            os.symlink(victim, path)
        return path

    with Interpreter(imports=()) as py:
        py.run("import os\nos.chmod('.', 0o777)")
        monkeypatch.setattr(settings.tempfile, "mkdtemp", swapped)
        if replaced == "link":   # its own folder too
            py.workspace.rename(py.workspace.with_name("gone"))
            py.workspace.symlink_to(victim)
        with py.branch() as branch:
            assert branch.workspace.is_dir()
            assert not branch.workspace.is_symlink()
    after = victim.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_in_a_folder_of_the_users_each_branch_is_told_what_its_cells_wrote(tmp_path):
    tmp_path.chmod(0o777)
    with Interpreter(imports=(), workspace=tmp_path) as py:
        with py.branch() as branch:
            assert py.run("open('one', 'w').close()").files == ["one"]
            assert branch.run("open('two', 'w').close()").files == ["two"]
        assert py.run("open('three', 'w').close()").files == ["three"]


def test_a_cell_that_wrote_to_a_folder_of_the_users_does_not_write_again_beside_a_branch(tmp_path):
    tmp_path.chmod(0o777)
    with Interpreter(imports=(), workspace=tmp_path) as py, py.branch():
        py.run("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()")
        py.run("with open('log', 'a') as log:\n    n = log.write('once ')")
        result = py.run("import os\nos._exit(1)")
        assert result.lost
        assert (tmp_path / "log").read_text() == "once "


def test_a_file_given_between_cells_comes_back_as_it_was_given(py):
    from io import BytesIO

    def give(name, text):
        transfer.put(py.workspace, name, BytesIO(text), max_bytes=1000)

    py.run("import os\nopen('mine', 'w').write('cell')\nopen('both', 'w').write('cell')")
    py.checkpoint("old")
    py.run("x = 1")
    give("appended", b"given")
    give("deleted", b"given")
    give("both", b"given")
    assert py.run("os.remove('deleted')\nopen('appended', 'a').write(' and more')\nopen('both', 'w').write('')\n"
                  "os.remove('mine')\nopen('new', 'w').close()").error is None
    assert py.undo() == []
    found = {path.name: path.read_bytes() for path in py.workspace.iterdir()}
    assert found == {"mine": b"cell", "appended": b"given", "deleted": b"given", "both": b"given"}
    with py.branch() as branch:
        branch.run("import os\nos.remove('given') if os.path.exists('given') else os.remove('both')")
        assert branch.restore("old") == []
        assert (branch.workspace / "both").read_bytes() == b"given"
    assert py.restore("old") == []
    assert (py.workspace / "both").read_bytes() == b"given"
    py.run("os.remove('deleted')")
    py.checkpoint("without")   # from here on this is how it is
    assert py.restore("without") == []
    assert not (py.workspace / "deleted").exists()


def test_a_replay_that_would_meet_a_file_somebody_has_changed_is_not_made(py):
    from io import BytesIO

    py.run("import os, threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
           "n = open('f', 'w').write('one')")
    py.run("read = open('f').read()\nn = open('g', 'w').write('')")
    transfer.put(py.workspace, "f", BytesIO(b"two"), max_bytes=1000)
    result = py.run("os._exit(1)")
    assert (py.workspace / "f").read_bytes() == b"two"
    assert result.lost or value(py, "read") == "'one'"


def test_what_a_branch_made_by_running_cells_again_copied_is_undone_like_any_file(py):
    py.run("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nx = 1")
    py.run("n = open('f', 'w').write('one')")
    with py.branch() as branch:
        assert (branch.workspace / "f").read_text() == "one"
        branch.run("y = 1")
        branch.undo(2)
        assert not (branch.workspace / "f").exists()


def test_a_folder_where_a_file_was_and_a_file_where_a_folder_was_change_back(py):
    py.run("import os\nopen('a', 'w').write('file')\nos.makedirs('b')\nopen('b/c', 'w').write('inner')")
    py.run("os.remove('a')\nos.makedirs('a/x/y')\nopen('a/x/z', 'w').close()\nos.remove('b/c')\nos.rmdir('b')\n"
           "open('b', 'w').write('file')")
    assert py.undo() == []
    assert (py.workspace / "a").read_text() == "file"
    assert (py.workspace / "b" / "c").read_text() == "inner"


def test_a_large_file_that_two_cells_wrote_is_named_also_when_both_states_were_kept(py, monkeypatch):
    monkeypatch.setattr(mirror, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(mirror, "FICLONE", 0)
    py.run("n = open('large', 'w').write('a' * 2000)")
    py.checkpoint("one")
    py.run("n = open('large', 'w').write('b' * 2000)")
    py.checkpoint("two")
    assert py.restore("one") == ["large is as it is now: too large to be kept"]


def test_a_closed_branch_leaves_no_folder_and_takes_no_room(py):
    py.run("n = open('f', 'w').write('one')")
    base = py.workspace.parent.parent
    with py.branch() as branch:
        branch.run("n = open('g', 'w').write('two')")
        gone = branch.workspace
    assert not gone.exists()
    assert [path.name for path in (base / "spaces").iterdir()] == ["workspace"]
    with py.branch() as branch:
        py.close()
        assert value(branch, "open('f').read()") == "'one'"
        assert not py.workspace.exists()
        assert branch.undo() == []   # the next state to go back to was in the folder that is gone
        assert branch.run("import os\nos.listdir()").error is None


def test_a_branch_that_begins_anew_works_in_its_own_folder(py):
    py.run("open('f', 'w').close()")
    with py.branch() as branch:
        branch.reset()
        assert branch.run("import os\nprint(os.getcwd(), os.environ['HOME'])").stdout == f"{branch.workspace} {branch.workspace}\n"
        branch.run("open('g', 'w').close()")
        assert [path.name for path in py.workspace.iterdir()] == ["f"]
        py.close()
        branch.reset()
        assert value(branch, "import os\nsorted(os.listdir())") == "['f', 'g']"


def test_what_is_written_beside_the_workspace_counts_and_what_branches_hold_does_not():
    with Interpreter(imports=(), limits=Limits(workspace_mb=8)) as py, py.branch() as branch:
        assert branch.run("n = open('f', 'wb').write(bytes(6 << 20))").status == "ok"
        slow = "import time\nn = open({!r}, 'wb').write(bytes(6 << 20))\ntime.sleep(0.5)"
        assert py.run(slow.format("f")).status == "ok"
        assert py.run(slow.format("../g") + "\ntime.sleep(30)").status == "limit"


def test_an_account_asked_for_earlier_is_not_taken_for_the_one_asked_for_now(py):
    py.checkpoint("mark")
    session = py._backend._session
    with session.keeper.called():
        for _ in range(3):
            session.ask_usage(1 << 40)   # as a cell does that ends before the answer comes
        assert py.checkpoints["mark"].memory_kb is not None
        assert session.wait_usage(1 << 40)["each_kb"] == {}
