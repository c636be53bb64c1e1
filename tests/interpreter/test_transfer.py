"""Files into a workspace and out of it, while a hostile cell has prepared the ground."""

import io
import os
from pathlib import Path

import pytest

from codeact.interpreter.transfer import BadPath, TooLarge, listing, put, take

BAD_PATHS = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a\0b", "x" * 256,
             "a/" * 600 + "b", "/".join("a" * 70), "\ud800"]  # fmt: skip


@pytest.fixture
def workspace(tmp_path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path) -> Path:
    """A file that nobody may read or change from within the workspace."""
    file = tmp_path / "outside.txt"
    file.write_text("secret")
    return file


def write(workspace: Path, path: str, data: bytes = b"new", most: int = 100) -> int:
    return put(workspace, path, io.BytesIO(data), max_bytes=most)


def read(workspace: Path, path: str) -> bytes:
    with take(workspace, path) as file:
        return file.read()


@pytest.mark.parametrize("path", ["a.txt", "deep/er/a.txt", "with blank", "ümläut.csv", "..a", "-x", "new\nline"])
def test_what_is_put_can_be_taken_and_is_listed(workspace, path):
    assert write(workspace, path, b"1,2") == 3
    assert read(workspace, path) == b"1,2"
    hidden = path.startswith(".")
    assert [(entry.path, entry.size) for entry in listing(workspace, max_files=9)] == [] if hidden else [(path, 3)]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_no_plain_relative_one_is_refused(workspace, path):
    with pytest.raises(BadPath, match="relative"):
        write(workspace, path)
    with pytest.raises(BadPath, match="relative"):
        take(workspace, path)
    assert os.listdir(workspace) == []


def test_an_upload_replaces_a_link_and_leaves_what_it_points_at(workspace, outside):
    (workspace / "a.txt").symlink_to(outside)
    write(workspace, "a.txt")
    assert outside.read_text() == "secret"
    assert read(workspace, "a.txt") == b"new"


def test_a_link_is_not_read(workspace, outside):
    (workspace / "a.txt").symlink_to(outside)
    with pytest.raises(FileNotFoundError, match=r"no file 'a\.txt'"):
        take(workspace, "a.txt")


def test_a_folder_that_is_a_link_is_not_walked_through(workspace, outside):
    (workspace / "folder").symlink_to(outside.parent, target_is_directory=True)
    with pytest.raises(FileNotFoundError):
        take(workspace, "folder/outside.txt")
    with pytest.raises(BadPath, match="'folder' is no folder"):
        write(workspace, "folder/outside.txt")
    with pytest.raises(BadPath, match="'folder' is no folder"):
        write(workspace, "folder/deeper/outside.txt")
    assert outside.read_text() == "secret"
    assert listing(workspace, max_files=9) == []


def test_a_file_on_the_way_is_no_folder(workspace):
    write(workspace, "a")
    with pytest.raises(BadPath, match="'a' is no folder"):
        write(workspace, "a/b")


def test_a_folder_is_not_replaced_and_not_read(workspace):
    (workspace / "folder").mkdir()
    with pytest.raises(BadPath, match="is a folder"):
        write(workspace, "folder")
    with pytest.raises(FileNotFoundError):
        take(workspace, "folder")
    assert os.listdir(workspace) == ["folder"]


def test_a_pipe_keeps_nobody_waiting(workspace):
    os.mkfifo(workspace / "pipe")
    with pytest.raises(FileNotFoundError):
        take(workspace, "pipe")
    assert listing(workspace, max_files=9) == []
    write(workspace, "pipe")
    assert read(workspace, "pipe") == b"new"


def test_a_file_that_is_too_large_leaves_what_was_there(workspace):
    write(workspace, "a", b"old")
    with pytest.raises(TooLarge, match="100 bytes"):
        write(workspace, "a", b"x" * 101)
    assert read(workspace, "a") == b"old"
    assert os.listdir(workspace) == ["a"]


def test_an_upload_that_breaks_off_leaves_nothing(workspace):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        put(workspace, "a", Broken(), max_bytes=9)
    assert os.listdir(workspace) == []


def test_a_listing_is_bounded_and_leaves_hidden_files_out(workspace):
    for number in range(5):
        write(workspace, f"{number}")
    write(workspace, ".cache/x")
    assert len(listing(workspace, max_files=3)) == 3
    assert len(listing(workspace, max_files=99)) == 5


def test_a_tree_too_deep_for_paths_is_listed_as_far_as_it_goes(workspace):
    folder = os.open(workspace, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 200, dir_fd=folder)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    write(workspace, "a")
    assert [entry.path for entry in listing(workspace, max_files=9)] == ["a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_uploads_belongs_to_the_session(workspace):
    os.chown(workspace, 4321, 4321)
    write(workspace, "folder/a")
    assert {(workspace / name).stat().st_uid for name in ("folder", "folder/a")} == {4321}
