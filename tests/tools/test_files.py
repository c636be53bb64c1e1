"""The built-in `files`: one folder, and no way out of it."""

from __future__ import annotations

import os

import pytest

from codeact import Interpreter
from codeact.errors import ConfigError
from codeact.tools import Toolbox

REFUSED = (PermissionError, NotADirectoryError, IsADirectoryError)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("one\nTwo é\nthree")
    (tmp_path / "in" / "sub" / "b.py").write_text("two = 2\n")
    (tmp_path / "secret.txt").write_text("two secrets")
    os.symlink(tmp_path / "secret.txt", tmp_path / "in" / "link")
    os.symlink(tmp_path, tmp_path / "in" / "up")
    return tmp_path / "in"


@pytest.fixture
def files(folder):
    with Toolbox([f"files:{folder}:rw"]) as box:
        yield lambda name, *args, **kwargs: box[f"files.{name}"](*args, **kwargs)


def test_a_cell_lists_reads_and_searches_and_cannot_write_unless_it_may(folder):
    with Interpreter([f"files:{folder}"], imports=()) as py:
        assert py.run("[e['path'] for e in files.list(recursive=True)]").text.endswith(
            "['a.txt', 'link', 'sub', 'sub/b.py', 'up']")
        assert py.run("files.read('a.txt', start=4, max_chars=5)").text.endswith("'Two é'")
        assert py.run("[(e['path'], e['line']) for e in files.search('TWO')]").text.endswith("[('a.txt', 2), ('sub/b.py', 1)]")
        assert py.run("files.write('x', 'y')").error.name == "AttributeError"
        assert "read-only" in py.run("help(files)").stdout


def test_a_folder_may_be_written_to(folder):
    with Interpreter([f"files:{folder}:rw"], imports=()) as py:
        assert py.run("files.write('new/deep/c.txt', 'x'), files.write('new/deep/c.txt', 'é', append=True)").text.endswith("(1, 3)")
    assert (folder / "new/deep/c.txt").read_text() == "xé"
    assert sorted(os.listdir(folder / "new/deep")) == ["c.txt"]


@pytest.mark.parametrize("path", ["../secret.txt", "sub/../../secret.txt", "/etc/passwd", "~/x", "a\0b", "..", "sub/.."])
def test_a_path_that_leads_out_is_refused(files, path):
    for call in (lambda: files("read", path), lambda: files("write", path, "x"), lambda: files("list", path),
                 lambda: files("search", "two", path)):
        with pytest.raises(ValueError, match=r"leads out|relative to the folder"):
            call()


@pytest.mark.parametrize("path", ["link", "up/secret.txt", "up/in/a.txt"])
def test_links_are_not_followed_neither_to_read_nor_to_write(files, folder, path):
    with pytest.raises(REFUSED):
        files("read", path)
    with pytest.raises(REFUSED):
        files("write", path, "x")
    assert (folder.parent / "secret.txt").read_text() == "two secrets"
    assert all("secret" not in entry["text"] for entry in files("search", "two"))
    with pytest.raises(REFUSED):
        files("list", "up")


def test_only_regular_files_are_read_and_none_is_waited_for(files, folder):
    os.mkfifo(folder / "pipe")
    for path in ("pipe", "sub", "."):
        with pytest.raises(REFUSED):
            files("read", path)
    assert [entry["type"] for entry in files("list", pattern="pipe")] == ["other"]
    files("search", "two")
    with pytest.raises(REFUSED):
        files("write", "pipe", "x")


def test_what_is_too_large_is_refused(files, folder):
    with open(folder / "big", "wb") as big:
        big.truncate(17 << 20)
    with pytest.raises(ValueError, match="bytes"):
        files("read", "big")
    with pytest.raises(ValueError, match="can be written"):
        files("write", "big2", "x" * (17 << 20))
    with pytest.raises(ValueError, match="can be written"):
        files("write", "big", "x", append=True)
    with pytest.raises(ValueError, match="nothing to search"):
        files("search", "")


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(files, folder):
    (folder / "sub").rename(folder / "was")
    os.symlink(folder.parent, folder / "sub")
    with pytest.raises(REFUSED):
        files("read", "sub/secret.txt")


@pytest.mark.parametrize("spec", ["files", "files:", "files:/no/such/folder", "files:/etc/passwd"])
def test_what_is_no_folder_is_explained(spec):
    with pytest.raises(ConfigError, match="files"):
        Toolbox([spec])


def test_after_its_end_the_folder_is_closed(folder):
    with Toolbox([f"files:{folder}"]) as box:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        box["files.list"]()
