"""The changes to a folder of the user's: listed, applied, discarded, kept; by overlay and by copy, at each level."""

import logging
import os
import shutil
import signal
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

from codeact import ChangeConflict, ConfigError, Interpreter, InterpreterBusy, InterpreterError, SandboxUnavailable
from codeact.interpreter import copying, kept, mounts, pending
from codeact.interpreter.kept import kept_for
from codeact.interpreter.pending import Pending

SYSTEM_PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else None


@lru_cache
def why_not(level):
    try:
        Interpreter(sandbox=level, python=SYSTEM_PYTHON, imports=()).close()
    except SandboxUnavailable as error:
        return str(error)
    return ""


@pytest.fixture
def folder(tmp_path_factory):
    """A folder of the user's."""
    made = tmp_path_factory.mktemp("of the user's, with: commas")
    (made / "a.txt").write_text("one\ntwo\n")
    (made / "b.txt").write_text("b\n")
    (made / "sub").mkdir()
    (made / "sub" / "x").write_text("x")
    (made / "sub" / "y").write_text("y")
    os.symlink("a.txt", made / "link")
    return made


@pytest.fixture(params=["overlay", "copy", "level2", "level1", "level0"])
def kind(request):
    """How the folder is kept as it is, and behind which walls."""
    level = {"overlay": 3, "copy": 3, "level2": 2, "level1": 1, "level0": 0}[request.param]
    if why_not(level):
        pytest.skip(why_not(level))
    return request.param


@pytest.fixture
def work(kind, folder, monkeypatch):
    """Opens interpreters on the folder."""
    made = []

    def work(**options):
        level = {"overlay": 3, "copy": 3}.get(kind) or int(kind[-1])
        if kind == "copy":
            monkeypatch.setattr(Pending, "_open_overlay", no_overlay)
        options = {"workspace": folder, "mode": "copy", "sandbox": level, "python": SYSTEM_PYTHON, "imports": (), **options}
        made.append(Interpreter(**options))
        return made[-1]

    yield work
    for one in made:
        one.close()


def no_overlay(*_):
    raise SandboxUnavailable("no overlays in this test")


@pytest.fixture
def state(monkeypatch):
    """The user's state folder. Not where pytest keeps its own, which other runs of it close: root's sessions at levels 1
    and 2 have to walk through it."""
    home = Path(tempfile.mkdtemp(prefix="state-"))
    home.chmod(0o711)
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    yield home
    shutil.rmtree(home, ignore_errors=True)


def tree(folder):
    """Everything in it: path -> content, link or mode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else "folder" if path.is_dir() else path.read_text()
    return found


def told(changes):
    return {change.path: change.kind for change in changes}


def test_cells_work_and_the_folder_stays_as_it_is(work, folder, kind):
    before = tree(folder)
    py = work()
    result = py.run("open('a.txt', 'a').write('three\\n'); open('new.txt', 'w').write('n')\nopen('a.txt').read()")
    assert result.value["text/plain"] == r"'one\ntwo\nthree\n'"
    assert result.files == ["a.txt", "new.txt"]
    assert result.layer == py.layer == ("overlay" if kind == "overlay" else "copy")
    assert (py.workspace == folder) is (kind == "overlay")
    assert (py.output_folder / "new.txt").read_text() == "n"
    assert tree(folder) == before
    assert told(py.changes()) == {"a.txt": "modified", "new.txt": "added"}


def test_a_file_written_again_in_place_is_told_again(work):
    py = work()
    assert py.run("open('a.txt', 'a').write('1')").files == ["a.txt"]
    assert py.run("open('a.txt', 'a').write('2')").files == ["a.txt"]
    assert py.run("1").files == []
    assert py.run("f = open('a.txt', 'r+'); f.write('z'); f.close()").files == ["a.txt"]


def test_every_kind_of_change_is_listed_and_applied(work, folder):
    py = work()
    result = py.run("""
import os, shutil
os.unlink('b.txt')
shutil.rmtree('sub')
os.makedirs('new/deep'); open('new/deep/file', 'w').write('1')
os.makedirs('empty/inner')
os.unlink('link'); os.symlink('nowhere', 'link')
os.unlink('a.txt'); os.mkdir('a.txt'); open('a.txt/in', 'w').write('2')
""")
    assert result.error is None
    assert told(py.changes()) == {"a.txt": "type changed", "a.txt/in": "added", "b.txt": "deleted", "empty/inner": "added",
                                  "link": "modified", "new/deep/file": "added", "sub/x": "deleted", "sub/y": "deleted"}
    py.apply()
    assert tree(folder) == {"a.txt": "folder", "a.txt/in": "2", "empty": "folder", "empty/inner": "folder", "link": "nowhere",
                            "new": "folder", "new/deep": "folder", "new/deep/file": "1"}
    assert len(py.changes()) == 0
    assert py.run("sorted(os.listdir('.'))").value["text/plain"] == "['a.txt', 'empty', 'link', 'new']"


def test_a_file_in_place_of_a_folder_and_a_folder_made_anew(work, folder):
    py = work()
    py.run("import shutil, os; shutil.rmtree('sub'); open('sub', 'w').write('file now')")
    assert told(py.changes()) == {"sub": "type changed", "sub/x": "deleted", "sub/y": "deleted"}
    py.apply("sub")
    assert (folder / "sub").read_text() == "file now"
    py.run("os.unlink('sub'); os.mkdir('sub'); open('sub/y', 'w').write('y again')")
    assert told(py.changes()) == {"sub": "type changed", "sub/y": "added"}
    py.apply()
    assert tree(folder)["sub/y"] == "y again"
    py.run("shutil.rmtree('sub'); os.mkdir('sub'); open('sub/z', 'w').write('z')")
    assert told(py.changes()) == {"sub/y": "deleted", "sub/z": "added"}
    py.apply()
    assert sorted(os.listdir(folder / "sub")) == ["z"]
    py.run("os.unlink('sub/z')")   # of a folder that was the session's alone at first
    assert told(py.changes()) == {"sub/z": "deleted"}
    py.apply()
    assert os.listdir(folder / "sub") == []
    assert len(py.changes()) == 0


def test_what_was_applied_can_be_deleted_by_a_later_cell(work, folder):
    py = work()
    py.run("import os; os.makedirs('n/m'); open('n/m/f', 'w').write('f'); open('n/g', 'w')")
    py.apply()
    py.run("os.unlink('n/m/f'); os.rmdir('n/m'); open('n/h', 'w')")
    assert told(py.changes()) == {"n/h": "added", "n/m/f": "deleted"}
    py.apply()
    assert sorted(os.listdir(folder / "n")) == ["g", "h"]


def test_changes_are_applied_file_by_file(work, folder):
    py = work()
    py.run("import os; open('a.txt', 'w').write('A'); open('sub/x', 'w').write('X'); os.unlink('sub/y'); os.makedirs('n/m'); open('n/m/f', 'w').write('F'); open('n/g', 'w')")
    assert py.apply("sub/x") == ["sub/x"]
    assert (folder / "sub" / "x").read_text() == "X"
    assert (folder / "sub" / "y").exists()
    assert py.apply("n/m/f") == ["n", "n/m", "n/m/f"]
    assert tree(folder)["n/m/f"] == "F"
    assert not (folder / "n" / "g").exists()
    assert py.apply("./sub/") == ["sub/y"]
    assert told(py.changes()) == {"a.txt": "modified", "n/g": "added"}
    assert (folder / "a.txt").read_text() == "one\ntwo\n"
    with pytest.raises(ValueError, match=r"nothing is changed at 'b\.txt'"):
        py.apply("b.txt")


def test_what_is_discarded_is_as_the_user_has_it(work, folder):
    before = tree(folder)
    py = work()
    py.run("""
import os, shutil
open('a.txt', 'w').write('A'); os.unlink('b.txt'); shutil.rmtree('sub'); open('new', 'w'); os.makedirs('d/e'); open('d/e/f', 'w')
os.unlink('link'); os.mkdir('link')""")
    py.discard("a.txt")
    py.discard("sub/x")
    assert py.run("open('a.txt').read(), os.listdir('sub'), open('sub/x').read()").value["text/plain"] == r"('one\ntwo\n', ['x'], 'x')"
    assert told(py.changes()) == {"b.txt": "deleted", "d/e/f": "added", "link": "type changed", "new": "added", "sub/y": "deleted"}
    py.discard()
    assert len(py.changes()) == 0
    look = "sorted(os.path.join(p, n)[2:] for p, ds, fs in os.walk('.') for n in ds + fs), open('b.txt').read(), os.readlink('link')"
    assert eval(py.run(look).value["text/plain"]) == (sorted(before), "b\n", "a.txt")
    py.run("open('a.txt', 'a').write('more')")
    assert told(py.changes()) == {"a.txt": "modified"}
    assert tree(folder) == before


def test_a_diff_shows_text_and_names_what_is_none(work):
    py = work()
    py.run("import os; open('a.txt', 'w').write('one\\nTWO'); open('bin', 'wb').write(bytes(9)); os.unlink('sub/x'); open('long', 'w').write('line\\n' * 50_000)")
    changes = {change.path: change for change in py.changes()}
    assert changes["a.txt"].diff() == ("--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n\\ No newline at end of file\n")
    assert changes["bin"].diff() == "Binary file bin: nothing before, 9 bytes after\n"
    assert changes["bin"].binary
    assert "+++ /dev/null" in changes["sub/x"].diff()
    assert len(changes["long"].diff()) < 70_000
    assert "characters more" in changes["long"].diff()
    assert (changes["a.txt"].before, changes["a.txt"].after) == (8, 7)


@pytest.mark.parametrize("kind", ["overlay", "copy"], indirect=True)
def test_permissions_are_a_change_too(work, folder):
    py = work()
    py.run("import os; os.chmod('a.txt', 0o755); os.chmod('sub', 0o700)")
    assert [(change.path, change.mode) for change in py.changes()] == [("a.txt", (0o644, 0o755)), ("sub", (0o755, 0o700))]
    assert "permissions 644 before, 755 after" in py.changes()[0].diff()
    py.apply()
    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "sub").stat().st_mode) == 0o700
    assert len(py.changes()) == 0


def test_touching_a_file_is_no_change(work):
    py = work()
    py.run("import os; open('a.txt', 'a').close(); os.utime('b.txt'); t = open('sub/x').read(); open('sub/x', 'w').write(t)")
    assert len(py.changes()) == 0


# What the user does meanwhile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ["rewritten", "replaced", "deleted"])
def test_a_file_the_user_changed_meanwhile_stops_the_apply(work, folder, theirs):
    py = work()
    py.run("open('a.txt', 'w').write('mine'); open('b.txt', 'w').write('mine')")
    if theirs == "rewritten":
        (folder / "a.txt").write_text("theirs")
    elif theirs == "replaced":
        (folder / "other").write_text("theirs")
        (folder / "other").rename(folder / "a.txt")
    else:
        (folder / "a.txt").unlink()
    before = tree(folder)
    with pytest.raises(ChangeConflict, match=r"a\.txt") as caught:
        py.apply()
    assert caught.value.paths == ["a.txt"]
    assert tree(folder) == before   # nothing at all was written
    assert [change.path for change in py.changes() if change.conflict] == ["a.txt"]
    assert py.apply("b.txt") == ["b.txt"]
    with pytest.raises(ValueError, match="by name"):
        py.apply(force=True)
    py.apply("a.txt", force=True)
    assert (folder / "a.txt").read_text() == "mine"
    assert len(py.changes()) == 0


def test_a_file_both_have_made_and_a_deleted_one_that_changed_are_conflicts(work, folder):
    py = work()
    py.run("import os, shutil; open('new', 'w').write('mine'); os.unlink('b.txt'); shutil.rmtree('sub')")
    (folder / "new").write_text("theirs")
    (folder / "b.txt").write_text("changed")
    (folder / "sub" / "late").write_text("the session never saw it")
    with pytest.raises(ChangeConflict) as caught:
        py.apply()
    assert caught.value.paths == ["b.txt", "new", "sub/late"] or caught.value.paths == ["b.txt", "new"]
    with pytest.raises(ChangeConflict):
        py.apply("sub")
    assert tree(folder)["sub/late"] == "the session never saw it"
    assert tree(folder)["new"] == "theirs"


def test_a_file_of_before_the_session_is_no_conflict(work, folder):
    for name in ("p", "q", "r"):
        (folder / name).write_text("1")
    py = work()
    py.run("for name in 'pqr': open(name, 'w').write('2')")
    assert py.apply() == ["p", "q", "r"]
    py.run("for name in 'pqr': open(name, 'w').write('3')")
    (folder / "q").write_text("theirs")
    with pytest.raises(ChangeConflict) as caught:
        py.apply()
    assert caught.value.paths == ["q"]


def test_what_comes_over_keeps_owner_attributes_and_mode(work, folder):
    try:
        os.setxattr(folder / "a.txt", "user.note", b"keep me")
    except OSError:
        pytest.skip("this file system has no attributes")
    (folder / "a.txt").chmod(0o640)
    py = work()
    py.run("open('tmp', 'w').write('new'); import os; os.chmod('tmp', 0o640); os.replace('tmp', 'a.txt'); open('n', 'w')")
    py.apply()
    assert os.getxattr(folder / "a.txt", "user.note") == b"keep me"
    assert all(path.stat().st_uid == folder.stat().st_uid for path in folder.iterdir())
    assert [name for name in os.listxattr(folder / "n") if "overlay" in name] == []


# What a session may try --------------------------------------------------------------------------------------------------


def test_what_is_no_file_is_refused_by_name(work, folder):
    py = work()
    py.run("import os, socket; os.mkfifo('pipe'); open('fine', 'w')")
    refused = {change.path: change.refused for change in py.changes()}
    assert refused == {"fine": None, "pipe": "a named pipe"}
    assert py.apply() == ["fine"]
    with pytest.raises(ValueError, match="a named pipe"):
        py.apply("pipe")
    assert not (folder / "pipe").exists()


def test_hostile_names_come_over_as_they_are(work, folder):
    py = work()
    py.run(r"names = [b'new\nline', b'\xff\xfe', b'\x1b[2J', b'  ', 'ü'.encode(), b'-rf', b'a' * 255, b'..x']" "\n"
           "for name in names: open(name, 'w').write('1')")
    assert len(py.changes()) == 8
    assert all(letter.isprintable() for text in str(py.changes()).split("\n") for letter in text)
    py.apply()
    assert {os.fsencode(name) for name in os.listdir(folder)} >= {b"new\nline", b"\xff\xfe", b"\x1b[2J", b"..x"}
    assert len(py.changes()) == 0


def test_a_link_in_place_of_a_folder_leads_no_file_outside(work, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("theirs")
    py = work()
    py.run(f"import shutil, os; shutil.rmtree('sub'); os.symlink({str(outside)!r}, 'sub')")
    assert told(py.changes()) == {"sub": "type changed", "sub/x": "deleted", "sub/y": "deleted"}
    py.apply()
    assert os.readlink(folder / "sub") == str(outside)
    py.run("os.unlink('sub'); os.mkdir('sub'); open('sub/x', 'w').write('mine')")
    py.apply()
    assert tree(outside) == {"x": "theirs"}
    assert tree(folder)["sub/x"] == "mine"


def test_a_link_the_user_put_in_place_of_a_folder_is_not_followed(work, folder, tmp_path):
    py = work()
    py.run("open('sub/x', 'w').write('mine'); open('sub/n', 'w').write('mine')")
    (folder / "sub").rename(tmp_path / "moved")
    os.symlink(tmp_path / "moved", folder / "sub")
    with pytest.raises((ChangeConflict, InterpreterError)):
        py.apply("sub/x")
    with pytest.raises((ChangeConflict, InterpreterError)):
        py.apply("sub/n", force=True)
    assert tree(tmp_path / "moved") == {"x": "x", "y": "y"}


def test_hard_links_and_deep_folders_of_a_session(work, folder):
    py = work()
    result = py.run("""
import os
import shutil
open('one', 'w').write('1'); os.link('one', 'two')
here = os.getcwd()
for _ in range(120): os.mkdir('d' * 100); os.chdir('d' * 100)
open('bottom', 'w'); os.chdir(here)""")
    assert result.error is None, result.text
    refused = [change for change in py.changes() if change.refused]
    assert [change.refused for change in refused] == ["its path is too long"]
    applied = py.apply()
    assert {"one", "two"} <= set(applied)
    assert (folder / "two").read_text() == "1"
    py.discard()
    assert len(py.changes()) == 0


def test_the_disk_limit_counts_what_a_session_writes(work):
    from codeact import Limits

    py = work(limits=Limits(workspace_mb=2))
    result = py.run("import time\nfor i in range(1000):\n    open(f'f{i}', 'wb').write(bytes(1 << 20)); time.sleep(0.01)")
    assert result.status == "limit", result.text
    assert py.run("1 + 1").value == {"text/plain": "2"}


@pytest.mark.parametrize("kind", ["overlay"], indirect=True)
@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_the_disk_limit_counts_deleted_files_that_are_open(work, place, tmp_path, monkeypatch):
    from codeact import Limits
    from codeact.interpreter import folders

    home = Path(tempfile.mkdtemp(dir=place))
    home.chmod(0o711)
    monkeypatch.setattr(kept, "new_folder", lambda: Path(tempfile.mkdtemp(dir=home)))
    try:
        py = work(limits=Limits(workspace_mb=2))
        result = py.run("import os, time\nf = open('x', 'wb'); os.unlink('x')\n"
                        "for i in range(300): f.write(bytes(1 << 20)); f.flush(); time.sleep(0.01)\ntime.sleep(30)")
        assert result.status == "limit", result.text
        py.close()
    finally:
        folders.remove(home)


def test_a_crash_keeps_the_changes(work):
    py = work()
    py.run("open('a.txt', 'w').write('mine'); x = 1")
    py.run("import os; os._exit(1)")
    assert py.run("x, open('a.txt').read()").value["text/plain"] == "(1, 'mine')"
    gone = py._backend._session
    signal.pidfd_send_signal(gone.keeper.pidfd, signal.SIGKILL)   # the whole session goes
    while py._backend._session is gone:
        py.run("1")
    assert py.run("open('a.txt').read()").value["text/plain"] == "'mine'"
    assert told(py.changes()) == {"a.txt": "modified"}
    assert py.run("open('b.txt', 'a').write('1')").files == ["b.txt"]
    py.discard("a.txt")
    assert py.run("open('a.txt').read()").value["text/plain"] == r"'one\ntwo\n'"


# The end, and afterwards -------------------------------------------------------------------------------------------------


def test_what_is_not_applied_is_dropped_with_a_warning(work, folder, caplog):
    before = tree(folder)
    py = work()
    py.run("open('a.txt', 'w').write('mine')")
    store = py._backend._pending.store
    with caplog.at_level(logging.WARNING, logger="codeact.interpreter"):
        py.close()
    assert "1 changes to" in caplog.text
    assert "a.txt" in caplog.text
    assert tree(folder) == before
    assert not store.exists()
    assert not store.parent.exists()


def test_nothing_is_said_where_nothing_is_pending(work, folder, caplog):
    py = work()
    py.run("open('a.txt', 'w').write('mine')")
    py.apply()
    with caplog.at_level(logging.WARNING, logger="codeact.interpreter"):
        py.close()
    assert caplog.text == ""


def test_kept_changes_wait_and_are_gone_on_with(work, folder, state):
    py = work(keep_changes=True)
    py.run("import os, shutil; open('a.txt', 'w').write('mine'); shutil.rmtree('sub'); os.mkdir('n'); open('n/f', 'w').write('f')")
    py.apply("a.txt")
    py.close()
    (folder / "a.txt").write_text("edited after the apply")
    (folder / "b.txt").write_text("edited between")
    py = work(keep_changes=True)
    assert told(py.changes()) == {"n/f": "added", "sub/x": "deleted", "sub/y": "deleted"}
    look = py.run("open('a.txt').read(), open('b.txt').read(), open('n/f').read(), __import__('os').path.exists('sub')")
    assert look.value["text/plain"] == "('edited after the apply', 'edited between', 'f', False)"
    py.run("open('b.txt', 'a').write(', and by me')")
    assert sorted(py.apply()) == ["b.txt", "n", "n/f", "sub", "sub/x", "sub/y"]   # no conflict: it began from the edited file
    py.close()
    assert not kept_for(folder).exists()


def test_changes_that_cannot_be_listed_at_the_end_are_kept(work, folder, state, monkeypatch, caplog):
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    with monkeypatch.context() as broken:
        broken.setattr(pending, "find", lambda *_: (_ for _ in ()).throw(OSError(5, "the disk has a fault")))
        py.close()
    assert "could not be listed: [Errno 5] the disk has a fault" in caplog.text
    py = work(keep_changes=True)
    assert told(py.changes()) == {"a.txt": "modified"}


@pytest.mark.parametrize("kind", ["overlay"], indirect=True)
def test_a_session_on_kept_changes_waits_for_the_one_before_it(work, folder, state, monkeypatch):
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    py.close()
    place = kept_for(folder)
    (place / "session").write_text(f"{os.getpid()} {kept._began(os.getpid())}")   # as if it still ran
    monkeypatch.setattr(kept, "END_SECONDS", 0.05)
    with pytest.raises(InterpreterBusy, match="an earlier session still works on"):
        work(keep_changes=True)
    (place / "session").write_text(f"{os.getpid()} 1")   # another process, of the same number
    assert told(work(keep_changes=True).changes()) == {"a.txt": "modified"}


def test_what_is_known_of_kept_changes_goes_before_they_do(work, folder, state, monkeypatch):
    monkeypatch.setattr(kept, "remove_folder", lambda _: None)   # as where it is killed in between
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    py.apply()
    py.close()
    assert not (kept_for(folder) / "record.json").exists()


@pytest.mark.parametrize("kind", ["overlay"], indirect=True)
def test_a_deleted_folder_in_which_something_stays_is_left_and_the_rest_is_applied(work, folder):
    (folder / "d").mkdir()
    (folder / "d" / "file").write_text("1")
    os.mkfifo(folder / "d" / "pipe")
    py = work()
    py.run("import shutil; shutil.rmtree('d')")
    assert py.apply() == ["d/file"]
    assert [path.name for path in (folder / "d").iterdir()] == ["pipe"]


def test_changes_of_an_earlier_session_are_conflicts_with_edits_since_then(work, folder, state):
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    py.close()
    (folder / "a.txt").write_text("theirs")
    py = work(keep_changes=True)
    with pytest.raises(ChangeConflict):
        py.apply()
    assert (folder / "a.txt").read_text() == "theirs"
    py.discard()
    assert py.run("open('a.txt').read()").value["text/plain"] == "'theirs'"


def test_kept_changes_can_be_handled_when_no_session_runs(work, folder, state):
    py = work(keep_changes=True)
    py.run("""
import os, shutil
open('a.txt', 'w').write('mine'); open('b.txt', 'w').write('mine'); os.makedirs('n/m'); open('n/m/f', 'w'); open('n/g', 'w')
shutil.rmtree('sub'); os.mkdir('sub'); open('sub/z', 'w')""")
    with pytest.raises(InterpreterBusy):
        Pending(folder, keep=True)
    py.close()
    one = Pending(folder, keep=True)
    assert told(one.changes()) == {"a.txt": "modified", "b.txt": "modified", "n/g": "added", "n/m/f": "added",
                                   "sub/x": "deleted", "sub/y": "deleted", "sub/z": "added"}
    assert one.apply(["a.txt"], force=False) == ["a.txt"]
    assert one.discard(["sub/x"]) == ["sub/x"]
    assert told(one.changes()) == {"b.txt": "modified", "n/g": "added", "n/m/f": "added", "sub/y": "deleted", "sub/z": "added"}
    one.apply(["sub"], force=False)
    one.discard(["n/m"])
    one.close()
    assert tree(folder / "sub") == {"x": "x", "z": ""}
    one = Pending(folder, keep=True)
    assert told(one.changes()) == {"b.txt": "modified", "n/g": "added"}
    one.discard([])
    one.close()
    assert not kept_for(folder).exists()
    assert (folder / "b.txt").read_text() == "b\n"
    assert not (folder / "n").exists()


@pytest.mark.parametrize("kind", ["overlay"], indirect=True)
def test_a_folder_deleted_as_a_whole_can_be_discarded_in_part_afterwards(work, folder, state):
    py = work(keep_changes=True)
    py.run("import shutil; shutil.rmtree('sub')")
    py.close()
    one = Pending(folder, keep=True)
    one.discard(["sub/y"])
    assert told(one.changes()) == {"sub/x": "deleted"}
    one.close()
    py = work(keep_changes=True)
    assert py.run("import os; os.listdir('sub')").value["text/plain"] == "['y']"


@pytest.mark.parametrize("kind", ["overlay"], indirect=True)
def test_changes_in_an_overlay_are_not_lost_where_none_can_be_had(work, folder, state, monkeypatch):
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    py.close()
    with pytest.raises(SandboxUnavailable, match="Apply or discard"):
        work(keep_changes=True, sandbox=0)
    one = Pending(folder, keep=True)
    assert one.apply([], force=False) == ["a.txt"]
    one.close()


def test_another_folder_in_the_same_place_is_noticed(work, folder, state):
    py = work(keep_changes=True)
    py.run("open('a.txt', 'w').write('mine')")
    py.close()
    folder.rename(folder.parent / f"{folder.name} elsewhere")
    folder.mkdir()
    with pytest.raises(ConfigError, match="another folder"):
        Pending(folder, keep=True)


# Arguments and limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error"), [
    ({"mode": "overlay", "workspace": "."}, "'live' or 'copy'"), ({"mode": "copy"}, "workspace=DIR"),
    ({"keep_changes": True, "workspace": "."}, "mode='copy'"),
])  # fmt: skip
def test_arguments_that_make_no_sense_are_named(options, error):
    with pytest.raises(ValueError, match=error):
        Interpreter(**options)


def test_a_live_workspace_has_no_changes_to_look_at(folder):
    with Interpreter(workspace=folder, imports=()) as py:
        assert py.layer is None
        assert py.output_folder == folder
        for call in (py.changes, py.apply, py.discard):
            with pytest.raises(InterpreterError, match="mode='copy'"):
                call()


def test_a_folder_that_holds_the_place_of_its_changes_is_refused(folder, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        Interpreter(workspace=folder, mode="copy", keep_changes=True)
    assert not (folder / "state").exists()


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_BYTES"])
@pytest.mark.parametrize("kind", ["copy"], indirect=True)
def test_a_folder_too_large_to_copy_is_an_error_that_says_what_to_do(work, folder, monkeypatch, limit):
    monkeypatch.setattr(copying, limit, 3)
    monkeypatch.setattr(copying, "copy_bytes", lambda *_: False)
    with pytest.raises(ConfigError, match="--live"):
        work()


def test_the_copy_of_a_folder_holds_what_can_be_copied(work, folder, caplog):
    os.mkfifo(folder / "pipe")
    py = work()
    py.run("open('a.txt', 'a').write('1')")
    assert told(py.changes()) == {"a.txt": "modified"}
    py.apply()
    assert stat.S_ISFIFO((folder / "pipe").lstat().st_mode)


def test_root_lays_the_overlay_over_mapped_folders(folder, tmp_path):
    if os.getuid() != 0:
        pytest.skip("root only")
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(SandboxUnavailable, match="no overlay over"):   # without its folders
        mounts.overlay(folder, store, 0x70000123, 0x70000123)


# No scan for a cell ------------------------------------------------------------------------------------------------------


def count_looks(monkeypatch):
    """Counts the looks at folders and files that this process takes."""
    looks = []
    for name in ("scandir", "listdir", "stat", "lstat", "open"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _real=real, _name=name, **k: looks.append(_name) or _real(*a, **k))
    return looks


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["overlay", "copy"], indirect=True)
def test_a_tree_of_100_000_files_costs_no_scan_and_no_copy_for_a_cell(work, folder, kind, monkeypatch):
    n_folders, n_files = 100, 1000
    for i in range(n_folders):
        (folder / f"d{i}").mkdir()
        for j in range(n_files):
            os.close(os.open(folder / f"d{i}" / f"f{j}", os.O_CREAT | os.O_WRONLY))
    looks = count_looks(monkeypatch)
    py = work()
    watch = py._backend._watch
    if kind == "overlay":
        assert len(looks) < 1000, "the start of a session looks at the whole tree"
    else:   # the one scan; the copy's folders are watched in the background
        while len(watch.numbers) < n_folders + 2:
            watch._closed.wait(0.01)
    py.run("1")
    looks.clear()
    assert py.run("open('d7/f3', 'w').write('changed'); open('d8/new', 'w').write('1')").files == ["d7/f3", "d8/new"]
    assert py.run("open('d7/f3', 'a').write('again')").files == ["d7/f3"]
    py.run("1 + 1")
    assert len(looks) < 200
    if kind == "overlay":
        used = sum(len(files) for _, _, files in os.walk(py.output_folder))
        assert used == 2
        looks.clear()
    assert told(py.changes()) == {"d7/f3": "modified", "d8/new": "added"}
    if kind == "overlay":
        assert len(looks) < 5000   # the folders of what changed, not the tree
    py.apply()
    assert (folder / "d7" / "f3").read_text() == "changedagain"
    monkeypatch.undo()


def test_the_list_is_bounded(work, monkeypatch):
    from codeact.interpreter import changes

    monkeypatch.setattr(changes, "MAX_CHANGES", 5)
    py = work()
    py.run("for i in range(10): open(f'f{i}', 'w')")
    with pytest.raises(InterpreterError, match="more than 5 files"):
        py.changes()


def test_state_is_kept_for_the_user_alone(state, folder, monkeypatch):
    one = Pending(folder, keep=True)
    mode = 0o711 if os.getuid() == 0 else 0o700
    assert stat.S_IMODE(one.store.stat().st_mode) == stat.S_IMODE(one.store.parent.stat().st_mode) == mode
    assert one.store.parent == kept.state_folder() == Path(os.environ["XDG_STATE_HOME"]) / "codeact" / "changes"
    one.close()
    assert not one.store.exists()
