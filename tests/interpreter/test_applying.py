"""Applying changes: a kill at any moment leaves each file of the user's old or new, and applying again finishes."""

import os
import random
import signal
import stat
import time

import pytest

from codeact import ChangeConflict, Interpreter, InterpreterError, SandboxUnavailable
from codeact.interpreter import applying, renames
from codeact.interpreter.baseline import Baseline, now, version
from codeact.interpreter.changes import find
from codeact.interpreter.copying import bring_up_to_date
from codeact.interpreter.layers import Copy
from codeact.interpreter.pending import Pending
from codeact.interpreter.recovering import recover

OLD = {"a": "old a", "b": "old b", "gone": "old gone", "dir/x": "old x", "dir/y": "old y", "dir/deep/z": "old z",
       "other/p": "old p", "file": "old file", "same": "untouched"}  # fmt: skip
NEW = {"a": "new a", "b": "new b", "dir": "a file now", "other/p": "new p", "other/q": "new q", "file/in": "new in",
       "fresh/very/f": "new f", "same": "untouched"}  # fmt: skip


def fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def scene(tmp_path):
    """A user's folder and a session's copy of it with changes of all kinds; made anew at each call."""
    n = 0

    def scene():
        nonlocal n
        n += 1
        source = fill(tmp_path / f"user{n}", OLD)
        copy = tmp_path / f"copy{n}"
        copy.mkdir()
        baseline = Baseline(tmp_path / f"baseline{n}", exact=True)
        bring_up_to_date(source, copy, baseline, None)
        os.unlink(copy / "gone")
        os.unlink(copy / "file")
        for name in ("dir/x", "dir/y", "dir/deep/z"):
            os.unlink(copy / name)
        os.rmdir(copy / "dir/deep")
        os.rmdir(copy / "dir")
        fill(copy, {name: text for name, text in NEW.items() if name != "same"})
        (copy / "a").chmod(0o755)
        return source, Copy(source, copy, baseline), baseline

    return scene


def apply_all(layer, baseline):
    recover(layer.source, baseline)
    return applying.apply(find(layer, baseline).every, layer, baseline)


def in_a_child(act):
    """Run it in a process of its own; how that ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(number):
    """Kill this process at the n-th step."""
    steps = iter(range(1, 1_000_000))

    def step(_):
        if next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    renames.step = step


def assert_old_or_new(folder):
    """Every file is whole; one that is in both versions is there."""
    found = content(folder)
    for name, text in found.items():
        if ".codeact-" not in name:
            assert text in (OLD.get(name), NEW.get(name)), name
    for name in OLD:
        if name in NEW:
            assert name in found, name


def assert_finished(folder):
    assert content(folder) == NEW
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o755


def test_everything_is_applied(scene):
    source, layer, baseline = scene()
    applied = apply_all(layer, baseline)
    assert {"a", "dir", "file/in", "fresh/very/f", "gone", "dir/deep/z"} <= set(applied)
    assert_finished(source)
    assert list(find(layer, baseline)) == []


def test_each_new_version_is_on_disk_before_it_takes_its_place(scene, monkeypatch):
    steps, sync = [], os.fsync
    monkeypatch.setattr(renames, "step", steps.append)
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync"), sync(fd))[1])
    _, layer, baseline = scene()
    apply_all(layer, baseline)
    whole = [n for n, step in enumerate(steps) if step == "made"]
    assert len(whole) > 5
    assert all(steps[n - 1] == "fsync" for n in whole)


def test_special_bits_of_a_folder_that_the_session_made_stay_behind(scene):
    source, layer, baseline = scene()
    (layer.output / "fresh").chmod(0o3777)
    apply_all(layer, baseline)
    assert stat.S_IMODE((source / "fresh").stat().st_mode) == 0o777


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_applies_belongs_to_whom_the_old_file_or_else_the_folder_belongs(scene):
    source, layer, baseline = scene()
    for path in (source, *source.rglob("*")):
        os.chown(path, 12_345, 12_346)
    os.chown(source / "b", 54_321, 54_321)
    (layer.output / "link").symlink_to("a")
    apply_all(layer, baseline)
    owners = {name: (source / name).lstat().st_uid for name in ("a", "b", "dir", "file", "file/in", "fresh/very/f", "link")}
    assert owners == {**dict.fromkeys(owners, 12_345), "b": 54_321}


def test_a_kill_at_any_step_leaves_each_file_old_or_new_and_the_next_apply_finishes(scene):
    number, ended = 0, -9
    while ended != 0:
        number += 1
        source, layer, baseline = scene()
        ended = in_a_child(lambda: (killed_at(number), apply_all(layer, baseline)))
        assert ended in (0, -signal.SIGKILL)
        assert_old_or_new(source)
        again = Baseline(baseline._path, exact=True)
        layer = Copy(source, layer.output, again)
        apply_all(layer, again)
        assert_finished(source)
        assert list(find(layer, again)) == []
        assert again.begun == {}
    assert number > 60


def test_a_kill_during_the_cleaning_up_is_cleaned_up_after(scene):
    number, ended = 0, -9
    while ended != 0:
        number += 1
        source, layer, baseline = scene()
        assert in_a_child(lambda: (killed_at(10), apply_all(layer, baseline))) == -signal.SIGKILL
        layer = Copy(source, layer.output, Baseline(baseline._path, exact=True))
        ended = in_a_child(lambda: (killed_at(number), apply_all(layer, layer._baseline)))
        assert_old_or_new(source)
        layer = Copy(source, layer.output, Baseline(baseline._path, exact=True))
        apply_all(layer, layer._baseline)
        assert_finished(source)


def kill_at_random_moments(rounds, make, again):
    chance = random.Random(20240201)
    took = 0.05
    for _ in range(rounds):
        folder, act = make()
        child = os.fork()
        began = time.monotonic()
        if child == 0:
            act()
            os._exit(0)
        time.sleep(chance.random() * took)
        os.kill(child, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended == 0:
            took = max(0.005, (time.monotonic() - began) * 0.8)
        assert_old_or_new(folder)
        again(folder)
        assert_finished(folder)
        assert not [path for path in folder.rglob("*") if ".codeact-" in path.name]


def test_a_kill_at_a_random_moment(scene):
    made = {}

    def make():
        source, layer, baseline = scene()
        made[source] = layer, baseline
        return source, lambda: apply_all(layer, baseline)

    def again(source):
        layer, old = made[source]
        baseline = Baseline(old._path, exact=True)
        apply_all(Copy(source, layer.output, baseline), baseline)

    kill_at_random_moments(25, make, again)


@pytest.mark.parametrize("how", ["steps", pytest.param("random", marks=pytest.mark.slow)])
def test_kills_while_an_overlay_is_applied(tmp_path, monkeypatch, how):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    n = 0
    cell = f"""
import os, shutil
os.unlink('gone'); shutil.rmtree('dir'); os.unlink('file')
for name, text in {NEW!r}.items():
    os.makedirs(os.path.dirname(name) or '.', exist_ok=True); open(name, 'w').write(text)
os.chmod('a', 0o755)"""

    def make():
        nonlocal n
        n += 1
        folder = fill(tmp_path / f"user{n}", OLD)
        try:
            with Interpreter(workspace=folder, mode="copy", keep_changes=True, imports=(), sandbox=3) as py:
                if py.layer != "overlay":
                    pytest.skip("no overlays here")
                assert py.run(cell).error is None
        except SandboxUnavailable as error:
            pytest.skip(str(error))
        return folder, lambda: again(folder)

    def again(folder):
        one = Pending(folder, keep=True)
        one.apply([], force=False)
        one.close()

    if how == "random":
        kill_at_random_moments(30, make, again)
        return
    for number in range(3, 90, 7):
        folder, act = make()
        in_a_child(lambda number=number, act=act: (killed_at(number), act()))
        assert_old_or_new(folder)
        again(folder)
        assert_finished(folder)


# The user at work at the same moment -------------------------------------------------------------------------------------


def rewrite(path):
    path.write_text("theirs")


def replace(path):
    other = path.with_name("editor's own")
    other.write_text("theirs")
    other.rename(path)


@pytest.mark.parametrize("save", [rewrite, replace])
@pytest.mark.parametrize("name", ["a", "gone", "other/q"])
def test_what_the_user_saves_at_any_step_is_never_lost(scene, monkeypatch, save, name):
    number, steps = 0, 1
    while number < steps:
        number += 1
        source, layer, baseline = scene()
        passed = iter(range(1, 10_000))
        count = []

        def step(_, number=number, source=source, passed=passed, count=count):
            count.append(1)
            if next(passed) == number:
                save(source / name)

        monkeypatch.setattr(renames, "step", step)
        every = find(layer, baseline).every
        try:
            applying.apply([change for change in every if change.path == name], layer, baseline)
        except (ChangeConflict, InterpreterError):
            pass
        steps = max(steps, len(count))
        recover(source, baseline)
        assert "theirs" in content(source).values(), (number, content(source))
        assert not list(source.rglob(".codeact-*"))
    assert number > 3


@pytest.mark.parametrize("save", [rewrite, replace])
@pytest.mark.parametrize(("name", "before", "killed"), [("a", "exchange", "swapped"), ("gone", "rename", "moved away")])
def test_what_the_user_saved_just_before_a_kill_is_given_back(scene, save, name, before, killed):
    source, layer, baseline = scene()
    every = find(layer, baseline).every

    def step(what):
        if what == before:
            save(source / name)
        elif what == killed:
            os.kill(os.getpid(), signal.SIGKILL)

    def act():
        renames.step = step
        applying.apply([change for change in every if change.path == name], layer, baseline)

    assert in_a_child(act) == -signal.SIGKILL
    again = Baseline(baseline._path, exact=True)
    assert len(again.begun) == 1
    recover(source, again)
    assert (source / name).read_text() == "theirs"
    assert not list(source.rglob("*.tmp"))


def test_a_conflict_leaves_the_users_file_in_its_place(scene, monkeypatch):
    source, layer, baseline = scene()
    every = find(layer, baseline).every
    (source / "a").write_text("theirs")
    (source / "gone").write_text("theirs")
    for name in ("a", "gone"):
        with pytest.raises(ChangeConflict):
            applying.apply([change for change in every if change.path == name], layer, baseline)
        assert (source / name).read_text() == "theirs"
    assert baseline.begun == {}


def test_a_file_put_into_a_deleted_folder_stays(scene, monkeypatch):
    source, layer, baseline = scene()
    every = find(layer, baseline).every
    (source / "dir" / "late").write_text("theirs")
    with pytest.raises(ChangeConflict, match="never saw"):
        applying.apply([change for change in every if change.path.startswith("dir")], layer, baseline)
    assert content(source)["dir/late"] == "theirs"


# Where things go wrong ---------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_it_with_nothing_lost(scene, monkeypatch):
    source, layer, baseline = scene()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(applying, "copy_bytes", full)
    with pytest.raises(InterpreterError, match=r"No space left on device.*applied again"):
        apply_all(layer, baseline)
    assert_old_or_new(source)
    monkeypatch.undo()
    apply_all(layer, baseline)
    assert_finished(source)


def test_a_file_system_that_cannot_exchange_names_does_it_another_way(scene, monkeypatch):
    def none(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(renames, "rename2", none)
    source, layer, baseline = scene()
    apply_all(layer, baseline)
    assert_finished(source)
    source, layer, baseline = scene()
    every = find(layer, baseline).every
    (source / "a").write_text("theirs")
    with pytest.raises(ChangeConflict):
        applying.apply([change for change in every if change.path == "a"], layer, baseline)
    assert (source / "a").read_text() == "theirs"


def test_a_file_that_is_being_written_to_is_not_taken_half(scene, monkeypatch):
    source, layer, baseline = scene()
    real = applying.copy_bytes

    def while_written(given, made):
        (layer.output / "a").write_text("new a, and more")
        return real(given, made)

    monkeypatch.setattr(applying, "copy_bytes", while_written)
    with pytest.raises(InterpreterError, match="writing to it"):
        applying.apply([change for change in find(layer, baseline).every if change.path == "a"], layer, baseline)
    assert (source / "a").read_text() == "old a"


# What is written down ----------------------------------------------------------------------------------------------------


def test_torn_lines_are_passed_over(tmp_path):
    one = Baseline(tmp_path / "lines", exact=False)
    one.start()
    one.equal("a", None, (1, 2, 3, 4, 5))
    one.close()
    with open(tmp_path / "lines", "ab") as file:
        file.write(b'["same", "b", nul')
    two = Baseline(tmp_path / "lines", exact=False)
    two.equal("c", None, None)
    three = Baseline(tmp_path / "lines", exact=False)
    assert set(three.same) == {"a", "c"}
    assert three.is_same("a", None)


@pytest.mark.parametrize("line", [b"[]", b"{}", b'["same"]', b'["same", "a", [1], null]', b'["end", "x"]', b"\xff", b'["made", "?", 1]'])
def test_lines_that_make_no_sense_are_passed_over(tmp_path, line):
    (tmp_path / "lines").write_bytes(line + b"\n" + b'["same", "z", null, null]\n')
    assert set(Baseline(tmp_path / "lines", exact=True).same) == {"z"}


def test_a_change_after_the_start_is_seen_and_one_before_is_not(tmp_path):
    (tmp_path / "before").write_text("1")
    one = Baseline(tmp_path / "lines", exact=False)
    one.start()
    (tmp_path / "after").write_text("1")
    assert not one.changed_meanwhile("before", version(os.stat(tmp_path / "before")))
    assert one.changed_meanwhile("after", version(os.stat(tmp_path / "after")))
    one.seen({"new": None, "before": version(os.stat(tmp_path / "before"))})
    assert one.changed_meanwhile("new", version(os.stat(tmp_path / "before")))
    os.utime(tmp_path / "before", ns=(0, 0))
    assert one.changed_meanwhile("before", version(os.stat(tmp_path / "before")))
    assert now() > os.stat(tmp_path / "before").st_ctime_ns
