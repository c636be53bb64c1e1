"""The file of a saved session: whole or not there, and taken for hostile when it is read."""

import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from codeact import ConfigError, Interpreter
from codeact.interpreter import saved, saved_files
from codeact.interpreter.journal import Entry
from codeact.interpreter.saved import Saved, read, write
from codeact.interpreter.saved_files import Tree


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("content")
    return folder


@pytest.fixture
def good(tmp_path, workspace):
    """A file with one of everything."""
    calls = {"q": [({"t": "reply", "ok": True, "value": 1}, [b"one", b""])]}
    entries = [Entry("x = 1", 1, 0.1, "", True, True, False, calls=calls, inputs=["line", None], touched=frozenset({"sub/a.txt"}))]
    state = json.dumps({"names": {}, "rest": {}, "imports": [], "definitions": [], "packages": {}}).encode()
    path = tmp_path / "good.zip"
    write(path, Saved(1, entries, state, [b"abc", b"", b"defg"], Tree(), None), workspace)
    return path


def rebuilt(good: Path, **changes) -> Path:
    """The file with members replaced (a function of the old content, bytes, or None for none)."""
    target = good.with_name("bad.zip")
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            key = name.replace(".", "_").replace("/", "_")
            content = source.read(name)
            if key in changes:
                change = changes.pop(key)
                content = change(content) if callable(change) else change
            if content is not None:
                archive.writestr(name, content)
        for name, content in changes.items():
            archive.writestr(name, content)
    return target


def manifest(**fields):
    return {"manifest_json": lambda old: json.dumps({**json.loads(old), **fields})}


def test_what_is_written_is_read(good):
    found = read(good, None)
    assert (found.cells, found.parts, found.folder) == (1, [b"abc", b"", b"defg"], None)
    entry, = found.entries
    assert (entry.code, entry.number, entry.pure, entry.inputs) == ("x = 1", 1, True, ["line", None])
    assert entry.calls == {"q": [({"t": "reply", "ok": True, "value": 1}, [b"one", b""])]}
    assert entry.touched == {"sub/a.txt"}
    assert [file.path for file in found.tree.files] == ["sub/a.txt"]
    assert found.tree.folders[0][0] == "sub"


def test_a_cell_that_used_the_network_is_not_one_to_run_again_from_a_file(tmp_path):
    entries = [Entry("x = 1", 1, 0.1, "", True, False, False), Entry("y = ask()", 2, 0.1, "", True, False, False, network=True)]
    write(tmp_path / "a.zip", Saved(2, entries, None, [], Tree(), None), None)
    assert [entry.replayable for entry in read(tmp_path / "a.zip", None).entries] == [True, False]


def test_a_file_is_readable_by_its_owner_only_and_replaced_whole(good, tmp_path, monkeypatch):
    assert good.stat().st_mode & 0o777 == 0o600
    before = good.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(good, Saved(1, [], None, [], Tree(), None), None)
    assert good.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["good.zip"]


def test_there_is_no_pickle_in_it(good):
    with zipfile.ZipFile(good) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {
            "manifest.json", "journal.json", "journal.bin", "state.json", "state.bin", "files"}


@pytest.mark.parametrize("cut", [0, 1, 21, 22, 100, -1, -22, -40])
def test_a_truncated_file_is_refused(good, cut):
    bad = good.with_name("bad.zip")
    bad.write_bytes(good.read_bytes()[:cut])
    with pytest.raises(ConfigError, match=r"bad\.zip cannot be loaded"):
        read(bad, None)


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000, b"PK\5\6" + bytes(18), bytes(22), b"\x80\x04\x95"])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        read(tmp_path / "bad.zip", None)


def test_each_flipped_byte_is_refused_or_harmless(good):
    data = good.read_bytes()
    whole = read(good, None)
    for position in range(0, len(data), 3):
        bad = good.with_name("flipped.zip")
        bad.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1:])
        try:
            found = read(bad, None)
        except ConfigError:
            continue
        assert (found.entries[0].code, found.parts, found.state) == ("x = 1", whole.parts, whole.state)


@pytest.mark.parametrize("path", ["../a", "/etc/x", "a/../../b", "", ".", "a//b", "a/", "a\0b", "./a", "x" * 5000, 5, None, ["a"]])
def test_paths_that_lead_out_are_refused(good, path):
    for fields in ({"files": [[path, 0o644, 0, 7]]}, {"folders": [[path, 0o755]]}, {"links": [[path, "a"]], "folders": []}):
        with pytest.raises(ConfigError, match="cannot be loaded"):
            read(rebuilt(good, **manifest(**fields)), None)


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "../../x", "a/../../..", 5, "a\0"])
def test_links_that_lead_out_are_refused(good, target):
    with pytest.raises(ConfigError, match="cannot be loaded"):
        read(rebuilt(good, **manifest(links=[["sub/link", target]])), None)


@pytest.mark.parametrize(("changes", "reason"), [
    (manifest(format=2), "format 2"),
    (manifest(format="1"), "no saved session"),
    (manifest(files=[["sub/a.txt", 420, 0, 7], ["sub/a.txt", 420, 0, 7]]), "same path"),
    (manifest(folders=[["sub/a.txt", 493]]), "same path"),
    (manifest(links=[["sub/a.txt/b", "x"]]), "inside a file"),
    (manifest(files=[["sub/a.txt", 420, 0, 6]]), "not as long"),
    (manifest(files=[["sub/a.txt", 420, 0, 8]]), "not as long"),
    (manifest(files=[["sub/a.txt", 420, 0, -1]]), "malformed"),
    (manifest(files=[["sub/a.txt", 420, 0, 1 << 62]]), "not as long"),
    (manifest(files=[]), "members"),
    (manifest(files=5), "malformed"),
    (manifest(files=[5]), "cannot be loaded"),
    (manifest(cells=-1), "malformed"),
    (manifest(cells=True), "malformed"),
    (manifest(workspace=5), "malformed"),
    (manifest(state_sizes=[3, 0, 5]), "not as long"),
    (manifest(state_sizes=[3, 0, "4"]), "malformed"),
    (manifest(state_sizes=None), "members"),
    (manifest(journal_sizes=[1 << 60]), "not as long"),
    ({"manifest_json": b"[" * 100_000}, "cannot be loaded"),
    ({"manifest_json": b"[]"}, "no saved session"),
    ({"manifest_json": b"\xff"}, "cannot be loaded"),
    ({"manifest_json": None}, "no manifest.json"),
    ({"journal_json": None}, "no journal.json"),
    ({"state_bin": None}, "no state.bin"),
    ({"files_0": None}, "members"),
    ({"extra": b"x"}, "members"),
    ({"../evil": b"x"}, "members"),
    ({"journal_json": b"{}"}, "malformed"),
    ({"journal_json": b"[[]]"}, "cannot be loaded"),
    ({"journal_json": b'[["x", "1", 0, "", true, true, false, [], [], []]]'}, "malformed"),
    ({"journal_json": b'[["x", 1, 0, "", true, true, false, [], [["q", [[{"t": "run"}, 0, 1]]]], []]]'}, "malformed"),
    ({"journal_json": b'[["x", 1, 0, "", true, true, false, [], [["q", [[{"t": "reply"}, 0, 99]]]], []]]'}, "malformed"),
    ({"journal_json": b'[["x", 2, 0, "", true, true, false, [], [], []], ["x", 1, 0, "", true, true, false, [], [], []]]'}, "order"),
])  # fmt: skip
def test_a_file_that_lies_is_refused(good, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        read(rebuilt(good, **changes), None)


def test_bombs_are_refused_before_they_unfold(good, monkeypatch):
    monkeypatch.setattr(saved, "MAX_JSON_BYTES", 100_000)
    monkeypatch.setattr(saved, "MAX_PARTS_BYTES", 100_000)
    bomb = bytes(50_000_000)
    for member in ("manifest_json", "journal_json", "journal_bin", "state_json", "state_bin"):
        with pytest.raises(ConfigError, match="over the limit"):
            read(rebuilt(good, **{member: bomb}), None)
    with pytest.raises(ConfigError, match="not as long"):
        read(rebuilt(good, files_0=bomb), None)
    with pytest.raises(ConfigError, match="the limit is 1 MB"):
        read(rebuilt(good, files_0=bomb, **manifest(files=[["sub/a.txt", 420, 0, len(bomb)]])), 1 << 20)


def test_members_twice_encrypted_or_beyond_count_are_refused(good):
    bad = good.with_name("bad.zip")
    bad.write_bytes(good.read_bytes())
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(ConfigError, match="two members"):
        read(bad, None)
    data = bytearray(good.read_bytes())
    directory = data.rindex(b"PK\1\2")
    data[directory + 8] |= 1
    bad.write_bytes(data)
    with pytest.raises(ConfigError, match=r"encrypted|cannot be loaded"):
        read(bad, None)
    data = bytearray(good.read_bytes())
    data[-10:-6] = struct.pack("<I", 1 << 30)
    bad.write_bytes(data)
    with pytest.raises(ConfigError, match="more members"):
        read(bad, None)
    with zipfile.ZipFile(bad, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(ConfigError, match="compressed"):
        read(bad, None)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing.zip", None)
    with pytest.raises(IsADirectoryError):
        read(tmp_path, None)
    with pytest.raises(FileNotFoundError):
        Interpreter.load(tmp_path / "nothing.zip")


@pytest.mark.parametrize("state", [
    b"", b"[]", b"{}", b"[" * 100_000, b'{"names": 5, "rest": {}, "imports": [], "definitions": [], "packages": {}}',
    b'{"names": {}, "rest": {"a": 5}, "imports": [], "definitions": [], "packages": {}}',
    b'{"names": {}, "rest": {}, "imports": [[5]], "definitions": [], "packages": {}}'])
def test_a_malformed_state_is_refused_and_nothing_is_left_behind(good, state):
    before = set(Path("/proc/self/task").iterdir())
    with pytest.raises(ConfigError, match="malformed"):
        Interpreter.load(rebuilt(good, state_json=state), imports=())
    assert before   # the interpreter closed itself: unclosed sockets would be warnings, and these are errors


@pytest.mark.parametrize("changes", [
    {"names": {"x": 99}}, {"names": {"x": 0}, "heap": [["v", {"$evil": 1}]]}, {"names": {"x": 0}, "heap": [["list", [0, 0]]]},
    {"names": {"x": 0}, "heap": [["tuple", [0]]]}, {"names": {"x": 0}, "heap": 5}, {"names": {"x": 0}, "heap": [["import", "nowhere", "x"]]},
    {"names": {"x": 0}, "heap": [["v", {"$ndarray": ["<f8", [1 << 40], 0]}]]}, {"imports": [["x", "nowhere", None]]},
    {"definitions": [["x", 1, 99, 0]]}, {"definitions": [["x", "1", [], 0]]}, {"chance": None}, {"order": [[]]}, {"environment": {"": "x"}},
    {"names": {"x": 0}, "heap": [["deque", -1, []]]}, {"names": {"x": 0}, "heap": [["dated", 5, "D"]]}, {"flags": "x"}])
def test_a_state_that_makes_no_sense_inside_is_made_again_from_the_journal(good, changes):
    sound = {"names": {}, "rest": {}, "imports": [], "definitions": [], "packages": {}, "heap": [], "chance": {"random": [3, [0] * 624 + [624], None]},
             "order": [], "flags": 0, "folder": None, "environment": {}}
    answers = {"journal_json": lambda old: json.dumps([[*json.loads(old)[0][:8], [], []]])}
    with Interpreter.load(rebuilt(good, state_json=json.dumps({**sound, **changes}), **answers), imports=()) as py:
        assert py.run("1 + 1").text.startswith("Out[2]: 2")
        assert py.loaded.restored == () or py.loaded.lost or changes["heap"] == [["list", [0, 0]]]


def test_files_are_never_written_through_links(good, tmp_path):
    """A link where a folder was, put there by what runs in the session meanwhile."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    found = read(good, None)
    found.tree.unpack(good, root)
    assert (root / "sub" / "a.txt").read_text() == "content"
    (root / "sub" / "a.txt").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(outside)
    found.tree.unpack(good, root)
    assert list(outside.iterdir()) == []
    assert (root / "sub" / "a.txt").read_text() == "content"
    (root / "sub" / "a.txt").unlink()
    (root / "sub" / "a.txt").symlink_to(outside / "written")
    (root / "extra").write_text("x")
    (root / "folder" / "in").mkdir(parents=True)
    found.tree.unpack(good, root)
    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in root.iterdir()) == ["sub"]


def test_set_id_bits_of_a_file_or_folder_do_not_come_out_of_what_was_saved(good, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    bad = rebuilt(good, **manifest(files=[["sub/a.txt", 0o106755, 0, 7]], folders=[["sub", 0o47777]]))
    read(bad, None).tree.unpack(bad, root)
    assert [stat.S_IMODE((root / path).stat().st_mode) for path in ("sub", "sub/a.txt")] == [0o777, 0o755]


def test_a_workspace_of_very_many_files_is_cut_and_told(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_files, "MAX_FILES", 5)
    monkeypatch.setattr(saved_files, "MAX_NAMED", 3)
    for n in range(20):
        (workspace / f"{n:02}").write_text("x")
    tree = Tree()
    write(tmp_path / "s.zip", Saved(0, [], None, [], tree, None), workspace)
    assert len(tree.files) + len(tree.folders) == 5
    assert tree.left_out["..."] == "and more"
    assert len(read(tmp_path / "s.zip", None).tree.files) == len(tree.files)


def test_a_file_that_changes_while_it_is_saved_is_stored_as_far_as_it_goes(workspace):
    (workspace / "big").write_bytes(bytes(5_000_000))
    tree = Tree()
    out = io.BytesIO()
    for blocks in tree.store(workspace):
        for block in blocks:
            out.write(block)
            (workspace / "big").write_bytes(b"")
    assert sum(file.size for file in tree.files) == len(out.getvalue()) < 5_000_000


def test_answers_too_large_for_a_file_make_their_cells_not_replayable(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "MAX_PARTS_BYTES", 1000)
    entries = [Entry("x", 1, 0.0, "", True, True, False, calls={"q": [({"t": "reply"}, [bytes(2000)])]}), Entry("y", 2, 0.0, "", True, True, False)]
    write(tmp_path / "s.zip", Saved(2, entries, None, [], Tree(), None, unstored="why"), None)
    found = read(tmp_path / "s.zip", None)
    assert [entry.replayable for entry in found.entries] == [False, True]
    assert found.unstored == "why"
    monkeypatch.setattr(saved, "MAX_JSON_BYTES", 10)
    with pytest.raises(ConfigError, match="too large"):
        write(tmp_path / "t.zip", Saved(2, entries, None, [], Tree(), None), None)
    assert not (tmp_path / "t.zip").exists()
