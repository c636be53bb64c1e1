"""Which files changed, without looking through the tree."""

import os
import shutil
import threading
import time

import pytest

from codeact.interpreter import watch
from codeact.interpreter.watch import Watch


@pytest.fixture
def watched(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept.txt").write_text("as it was")
    one = Watch(tmp_path)
    yield one
    one.close()


def test_what_was_there_before_is_no_change(watched):
    assert watched.take() == ([], set())


def test_created_changed_moved_and_deleted_files_are_told_once(watched, tmp_path):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "old" / "kept.txt").write_text("new")
    assert watched.take()[0] == ["a.txt", "old/kept.txt"]
    assert watched.take()[0] == []
    os.rename(tmp_path / "a.txt", tmp_path / "old" / "b.txt")
    assert watched.take() == (["old/b.txt"], {"a.txt", "old/b.txt"})
    os.unlink(tmp_path / "old" / "b.txt")
    assert watched.take() == ([], {"old/b.txt"})


def test_trees_made_at_once_are_found(watched, tmp_path):
    os.makedirs(tmp_path / "x" / "y" / "z")
    (tmp_path / "x" / "y" / "z" / "deep.txt").write_text("1")
    assert watched.take()[0] == ["x/y/z/deep.txt"]
    (tmp_path / "x" / "y" / "more.txt").write_text("2")
    assert watched.take()[0] == ["x/y/more.txt"]


def test_names_of_all_kinds_are_told(watched, tmp_path):
    (tmp_path / "new\nline ü.txt").write_text("1")
    with open(os.fsencode(tmp_path) + b"/\xff", "w"):
        pass
    assert set(watched.take()[0]) == {"new\nline ü.txt", "\udcff"}


def test_a_link_put_where_a_folder_was_leads_nowhere(watched, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("s")
    (tmp_path / "folder").mkdir()
    os.rmdir(tmp_path / "folder")
    os.symlink(outside, tmp_path / "folder")
    assert "folder/secret.txt" not in watched.take()[0]


def test_used_bytes_counts_what_the_session_added(watched, tmp_path):
    assert watched.used_bytes() == 0
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    assert watched.used_bytes() >= 1 << 20
    os.unlink(tmp_path / "big")
    assert watched.used_bytes() == 0


def test_lost_events_are_made_up_for_by_one_look(watched, tmp_path):
    watched.take()
    watched.overflowed = True
    (tmp_path / "late.txt").write_text("1")
    watched._changed.clear()
    assert "late.txt" in watched.take()[0]


def test_a_large_tree_costs_no_look_for_each_cell(tmp_path, monkeypatch):
    for i in range(60):
        (tmp_path / f"d{i}").mkdir()
        for j in range(20):
            (tmp_path / f"d{i}" / f"f{j}").touch()
    one = Watch(tmp_path)
    try:
        deadline = time.monotonic() + 60
        while len(one.numbers) < 61:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        looks = []
        monkeypatch.setattr(watch, "lstat", lambda *a: looks.append(a))
        monkeypatch.setattr(os, "scandir", lambda *a: pytest.fail("a look through a folder"))
        (tmp_path / "d7" / "f3").write_text("changed")
        one.take()
        assert [path for _, path in looks] == ["d7/f3"]
    finally:
        one.close()


def test_two_watches_of_one_folder_are_both_told_whichever_is_closed(watched, tmp_path):
    other = Watch(tmp_path)
    (tmp_path / "old" / "kept.txt").write_text("new")
    os.makedirs(tmp_path / "x" / "y")
    (tmp_path / "x" / "y" / "deep.txt").write_text("1")
    assert watched.take()[0] == other.take()[0] == ["old/kept.txt", "x/y/deep.txt"]
    other.close()
    (tmp_path / "x" / "y" / "more.txt").write_text("1")
    assert watched.take()[0] == ["x/y/more.txt"]


def test_two_that_watch_one_folder_are_both_told_and_go_their_own_way(watched, tmp_path):
    other = Watch(tmp_path)
    (tmp_path / "old" / "one.txt").write_text("1")
    assert watched.take()[0] == other.take()[0] == ["old/one.txt"]
    other.close()
    (tmp_path / "two.txt").write_text("2")
    assert watched.take()[0] == ["two.txt"]
    assert other.take()[0] == []


def test_a_few_folders_are_watched_before_anything_runs_however_slow_the_machine(tmp_path, monkeypatch):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    monkeypatch.setattr(watch, "SYNCHRONOUS_SECONDS", -1.0)
    monkeypatch.setattr(watch.threading, "Thread", lambda **_: pytest.fail("it goes on in the background"))
    one = Watch(tmp_path)
    (tmp_path / "a" / "b" / "c" / "deep.txt").write_text("1")
    assert one.take()[0] == ["a/b/c/deep.txt"]
    one.close()


def test_closed_while_a_large_folder_is_still_walked_it_holds_nothing(tmp_path, monkeypatch):
    for n in range(30):
        (tmp_path / f"{n}").mkdir()
    monkeypatch.setattr(watch, "SYNCHRONOUS_SECONDS", -1.0)
    monkeypatch.setattr(watch, "SYNCHRONOUS_FOLDERS", 1)
    before, go = set(watch._inotify().owners), threading.Event()
    monkeypatch.setattr(Watch, "_watch_also", lambda self, folder: go.wait(60) if folder else None)
    one = Watch(tmp_path)
    one.close()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "codeact-watch":
            thread.join(60)
    assert set(watch._inotify().owners) == before
    assert one.numbers == set()


def test_empty_files_and_folders_count_and_give_back_what_they_counted(watched, tmp_path):
    os.makedirs(tmp_path / "made" / "in" / "one")
    (tmp_path / "made" / "empty").touch()
    assert watched.used_bytes() == 4 * watch.LEAST_BYTES
    assert watched.take()[0] == ["made/empty"]   # folders are no files
    (tmp_path / "made").rename(tmp_path / "moved")
    assert watched.used_bytes() == 4 * watch.LEAST_BYTES
    shutil.rmtree(tmp_path / "moved")
    assert watched.used_bytes() == 0


def test_a_folder_in_the_place_of_a_file_is_not_told_as_a_file(watched, tmp_path):
    (tmp_path / "x").touch()
    (tmp_path / "x").unlink()
    (tmp_path / "x").mkdir()
    assert watched.take()[0] == []
    assert watched.used_bytes() == watch.LEAST_BYTES
