"""Zygotes and standby sessions."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from codeact import Interpreter, InterpreterGone, Limits, SandboxUnavailable
from codeact.interpreter import folders, levels, pool, supervisor
from codeact.interpreter.keeper import readable
from codeact.interpreter.supervisor import Settings, open_session, pool_of, zygote_of
from codeact.kernel.birth import AHEAD_SECONDS


@pytest.fixture(scope="module")
def preloaded():
    """The zygote of the default settings, when it has imported everything."""
    Interpreter().close()
    zygote = zygote_of(Settings())
    assert zygote.preload_done.wait(120)
    return zygote


def standing_by(zygote):
    return pool_of(zygote.settings)._standing_by


def test_what_users_need_is_imported_without_a_thread_with_pyarrow_and_sklearn_present(preloaded):
    pytest.importorskip("pyarrow")
    pytest.importorskip("sklearn")
    report = preloaded.preload_report
    assert report["threads"] == 1
    assert {"numpy", "pandas", "matplotlib.pyplot"} <= set(report["imported"])
    assert report["failed"] == {}


def test_a_module_that_starts_a_thread_is_left_out(tmp_path, caplog):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "threads_at_import.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n")
    site = next(path for path in sys.path if path.endswith("site-packages"))
    marker = Path(site) / "codeact_test_threads.pth"
    marker.write_text(str(tmp_path / "site"))
    tmp_path.chmod(0o755)
    try:
        with Interpreter(imports=("threads_at_import", "colorsys")):
            zygote = zygote_of(Settings(imports=("threads_at_import", "colorsys")))
            assert zygote.preload_done.wait(60)
            assert "colorsys" in zygote.preload_report["imported"]
            assert "threads_at_import" not in zygote.preload_report["imported"]
            assert "threads_at_import starts a thread" in caplog.text
    finally:
        marker.unlink()


def test_interpreters_of_equal_settings_share_a_zygote(preloaded):
    with Interpreter(limits=Limits(memory_mb=300)), Interpreter():
        assert zygote_of(Settings()) is preloaded


def test_standby_sessions_are_ready_and_have_everything_imported(preloaded):
    Interpreter().close()
    deadline = time.monotonic() + 30
    while not any(standing_by(preloaded).values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    with Interpreter() as py:
        assert py.run("import sys; 'pandas' in sys.modules, 'matplotlib.pyplot' in sys.modules").text.endswith("(True, True)")
        figure = py.run("import matplotlib.pyplot as plt; plt.plot([1, 2]); None")
        assert figure.outputs[0]["image/png"].startswith(b"\x89PNG")
        assert figure.text.startswith("[image/png ")
        table = py.run("import pandas as pd; pd.DataFrame({'a': [1, 2]})")
        assert "<table" in table.outputs[0]["text/html"]
        assert "a\n0  1" in table.text


def test_sessions_go_on_when_the_preloaded_zygote_is_killed():
    settings = Settings(imports=("colorsys",))
    open_session(settings).close()
    zygote = zygote_of(settings)
    assert zygote.preload_done.wait(60)
    zygote.preloaded.close()
    for _ in range(4):
        with Interpreter(imports=("colorsys",)) as py:
            assert py.run("1 + 1").text.endswith("2")


def test_a_python_that_does_not_exist_or_is_none_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such program"):
        Interpreter(python="/nowhere/python")
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    fake.chmod(0o755)
    with pytest.raises(InterpreterGone, match=r"is no Python that works \(it says: broken\); python=\.\.\. takes"):
        Interpreter(python=str(fake))


@pytest.mark.parametrize(("options", "error"), [
    ({"sandbox": "strong"}, "unknown sandbox"), ({"network": "some"}, "'none' or 'all'"), ({"workspace": "/nowhere"}, "no such folder"),
    ({"workspace": "/"}, "root of the file system"), ({"style": "loud"}, "style"), ({"limits": -1}, "Limits"), ({"preload": "/nowhere.py"}, "nowhere"),
])
def test_arguments_that_make_no_sense_are_named(options, error):
    with pytest.raises((ValueError, OSError, TypeError), match=error):
        Interpreter(**options)


@pytest.mark.parametrize("limits", [{"memory_mb": 0}, {"wall_seconds": -1}, {"processes": "many"}, {"tmp_mb": None}])
def test_limits_that_make_no_sense_are_named(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        Limits(**limits)


def test_walls_are_never_lowered_silently(caplog, monkeypatch):
    monkeypatch.setitem(levels.LEVELS, 3, levels.Level(3, "namespaces", "", abi_least=0))
    started = []

    def start(settings, level):
        started.append(level.number)
        if level.number == 3:
            raise SandboxUnavailable("level 3 (namespaces): forbidden here")
        raise SandboxUnavailable(f"level {level.number}: no")

    monkeypatch.setattr(supervisor, "Zygote", start)
    with pytest.raises(SandboxUnavailable, match=r"forbidden here.*codeact doctor.*sandbox='none'"):
        Interpreter(imports=("never_seen",))
    assert started == [3, 2, 1]
    with pytest.raises(SandboxUnavailable):
        Interpreter(imports=("never_seen",), sandbox="namespaces")
    assert started == [3, 2, 1, 3]


def test_a_thread_that_made_an_interpreter_may_end():
    made = []
    maker = threading.Thread(target=lambda: made.append(Interpreter(imports=())))
    maker.start()
    maker.join()
    with made[0] as py:
        assert py.run("2 + 2").text.endswith("4")


def test_a_forked_child_of_the_program_starts_its_own():
    program = textwrap.dedent("""
        import os, warnings
        warnings.simplefilter("ignore")
        from codeact import Interpreter, InterpreterGone
        py = Interpreter(imports=())
        py.run("x = 1")
        child = os.fork()
        if child == 0:
            try:
                py.run("x")
            except InterpreterGone as error:
                print("refused:", error)
            with Interpreter(imports=()) as own:
                print(own.run("6 * 7").text, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(py.run("x").text)
        """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1:] == ["Out[1]: 42", "Out[2]: 1"]
    assert done.stdout.startswith("refused: ")
    assert done.stderr == ""


def test_folders_of_a_killed_process_are_removed_by_the_next(tmp_path):
    tmp_path.chmod(0o755)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = "import os\nfrom codeact import Interpreter\npy = Interpreter(imports=())\npy.run('1')\nos.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=60)
    (left,) = tmp_path.glob("codeact-*")
    program = ("import os, sys, time\nfrom codeact import Interpreter\npy = Interpreter(imports=())\n"
               "until = time.monotonic() + 50\n"
               "while os.path.exists(sys.argv[1]) and time.monotonic() < until: time.sleep(0.01)")   # it is done aside
    subprocess.run([sys.executable, "-c", program, str(left)], env=environment, timeout=60, check=True)
    assert list(tmp_path.glob("codeact-*")) == []


def test_importing_codeact_is_light():
    program = ("import sys; import codeact; heavy = {'numpy', 'pandas', 'IPython', 'pydantic', 'openai', 'asyncio', 'rich', "
               "'matplotlib', 'fastapi', 'starlette'} & set(sys.modules); print(sorted(heavy))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_first_interpreter_in_a_folder_of_the_users_gives_no_standby_session_that_folder(tmp_path):
    (tmp_path / "mine.txt").write_text("1")
    options = {"imports": ("colorsys", "calendar")}
    with Interpreter(workspace=tmp_path, **options), Interpreter(**options):
        zygote = zygote_of(Settings(**options))
        deadline = time.monotonic() + 30
        while not any(standing_by(zygote).values()) and time.monotonic() < deadline:
            time.sleep(0.02)
        with Interpreter(**options) as py:
            assert py.workspace != tmp_path
            assert py.run("import os; os.listdir()").text.endswith("[]")


def descends_from_here(pid):
    """Whether a process is there, and not just its last word."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def ahead(preloaded, monkeypatch):
    """The zygote with the next session's processes forked, and no session standing by."""
    if preloaded.level.number != 3:
        pytest.skip("processes are forked ahead at level 3")
    monkeypatch.setattr(pool, "STANDBY", 0)
    for sessions in standing_by(preloaded).values():
        while sessions:
            sessions.pop().close()
    Interpreter().close()
    until(lambda: pool_of(preloaded.settings)._ahead is not None)
    return preloaded


def test_the_next_session_takes_the_processes_forked_ahead_whatever_its_limits_and_folder(ahead, tmp_path):
    keeper, newborn = pool_of(ahead.settings)._ahead
    tmp_path.chmod(0o777)
    with Interpreter(workspace=tmp_path, limits=Limits(tmp_mb=7)) as py:
        assert py._backend._session.keeper is keeper
        assert py._backend._session.running.connection is newborn.connection
        room = py.run("import os; stat = os.statvfs('/tmp'); print(stat.f_blocks * stat.f_frsize >> 20, os.getcwd())")
        assert room.stdout == f"7 {tmp_path}\n"
    until(lambda: pool_of(ahead.settings)._ahead is not None)


def test_two_sessions_at_once_need_only_one_of_them_forked_ahead(ahead):
    with Interpreter() as one, Interpreter() as two:
        assert one._backend._session.keeper is not two._backend._session.keeper
        assert one.run("1").text == two.run("1").text


def test_a_zygote_is_asked_by_one_thread_at_a_time(preloaded):
    forked = []
    asks = threading.Thread(target=lambda: forked.append(preloaded.fork_keeper()))
    with preloaded._asking:   # as who waits for an answer does
        asks.start()
        asks.join(0.2)
        assert not forked
    asks.join(60)
    forked[0].close()


@pytest.mark.parametrize("part", ["keeper", "worker"])
def test_processes_forked_ahead_that_have_ended_are_not_used(ahead, part):
    keeper, newborn = pool_of(ahead.settings)._ahead
    if part == "keeper":
        signal.pidfd_send_signal(keeper.pidfd, signal.SIGKILL)
    else:
        newborn.connection.sock.shutdown(2)
    assert readable(keeper.pidfd if part == "keeper" else newborn.connection, 10)
    with Interpreter() as py:
        assert py._backend._session.keeper is not keeper
        assert py.run("1 + 1").error is None


def test_numbers_drawn_in_sessions_forked_ahead_differ(ahead):
    drawn = set()
    for _ in range(2):
        with Interpreter() as py:
            drawn.add(py.run("import random, numpy\nprint(random.random(), numpy.random.rand())").stdout)
        until(lambda: pool_of(ahead.settings)._ahead is not None)
    assert len(drawn) == 2


def test_what_a_rehearsal_ahead_printed_is_not_seen(ahead):
    keeper, _ = pool_of(ahead.settings)._ahead
    time.sleep(2 * AHEAD_SECONDS)   # it rehearses
    with Interpreter() as py:
        assert py._backend._session.keeper is keeper
        assert py.run("print('mine')").text == "mine"
        assert py.run("In, Out, _").value["text/plain"] == "(['', \"print('mine')\", 'In, Out, _'], {2: (...)}, '')"


@pytest.mark.parametrize("bare", [False, True], ids=["the one that waits for it", "itself"])
def test_of_a_zygote_that_was_killed_nothing_is_left(bare):
    options = {"imports": ("colorsys", f"killed_{bare}")}
    with Interpreter(**options) as py:
        py.run("x = 1")
        if py.level != 3:
            pytest.skip("needs walls of level 3")
        zygote = zygote_of(Settings(**options))
        assert zygote.preload_done.wait(60)
        below = children(zygote.process.pid)
        os.kill(below[0] if bare else zygote.process.pid, signal.SIGKILL)
        with Interpreter(**options) as other:   # at once: it may just be ending
            assert other.run("1 + 1").text.endswith("2")
        assert py.run("x").text.startswith("Out[2]: 1")
    zygote.process.wait(60)
    with Interpreter(**options):
        assert zygote_of(Settings(**options)) is not zygote
        assert zygote.is_closed()
        until(lambda: not any(descends_from_here(pid) for pid in below))
    assert zygote.connection.fileno() == -1


def test_sessions_of_few_kinds_of_limits_stand_by(preloaded):
    for n in range(pool.STANDBY_KINDS + 3):
        Interpreter(limits=Limits(memory_mb=500 + n)).close()
    latest = Limits(memory_mb=500 + pool.STANDBY_KINDS + 2)
    until(lambda: len(standing_by(preloaded).get(latest, ())) == pool.STANDBY and len(standing_by(preloaded)) <= pool.STANDBY_KINDS)
    Interpreter(limits=latest).close()
    assert Limits(memory_mb=500) not in standing_by(preloaded)


def test_a_folder_is_cleaned_up_after_a_kill_at_any_moment(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(folders, "_home", None)
    before_the_lock = tmp_path / "codeact-abcdefgh"
    new, own, half_removed = tmp_path / "codeact-new_home", tmp_path / "codeact-mine", tmp_path / "codeact-12345678"
    for folder in (before_the_lock, new, own, half_removed, half_removed / "session" / "deep"):
        folder.mkdir(parents=True)
    (half_removed / ".lock").touch()
    (own / "file").touch()
    long_ago = time.time() - 2 * folders.NEW_SECONDS
    for folder in (before_the_lock, own):
        os.utime(folder, (long_ago, long_ago))
    session = folders.new_folder()
    until(lambda: not before_the_lock.exists() and not half_removed.exists())
    assert new.exists()   # somebody may be making it
    assert (own / "file").exists()
    folders.remove_home()
    assert not session.parent.exists()


def test_of_a_home_the_lock_goes_last(tmp_path, monkeypatch):
    (tmp_path / "session" / "deep").mkdir(parents=True)
    (tmp_path / ".lock").touch()
    seen, real = [], folders.remove

    def remove(folder):
        if tmp_path in (folder, *folder.parents):   # a session of another test's may just end too
            seen.append((folder.name, (tmp_path / ".lock").exists()))
        real(folder)

    monkeypatch.setattr(folders, "remove", remove)
    folders._remove_home(tmp_path)
    assert seen == [("session", True), (tmp_path.name, True)]
    assert not tmp_path.exists()


@pytest.mark.parametrize("level", [3, 0])
def test_a_session_ends_while_a_fork_of_the_program_goes_on(level):
    """The fork holds copies of all sockets of the session."""
    py = Interpreter(imports=(), sandbox=level)
    py.run("import os")
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    try:
        keeper = os.dup(py._backend._session.keeper.pidfd)
        py.close()
        assert readable(keeper, 0)
        os.close(keeper)
    finally:
        os.close(go)
        os.close(wait)
        os.waitpid(child, 0)
