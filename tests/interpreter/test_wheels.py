"""Wheels that are what they should be, and those that are not."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
from package_index import wheel

from codeact.interpreter import wheels
from codeact.interpreter.wheels import BadWheel, Wheel, merge


def write(folder: Path, made: tuple[str, bytes]) -> Path:
    path = folder / made[0]
    path.write_bytes(made[1])
    return path


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_wheel_is_unpacked_without_what_is_left_out(tmp_path):
    files = {"x/__init__.py": "a = 1", "x.pth": "import os", "x-1.0.data/purelib/more.py": "b = 2", "x-1.0.data/scripts/x": "#!python", "x-1.0.data/data/etc/x": "", "x-1.0.data/purelib/y.pth": "",
             "x-1.0.data/headers/x.h": "", "x/__pycache__/a.cpython-311.pyc": "", "x/b.pyc": ""}
    one = Wheel(write(tmp_path, wheel("x", files=files)))
    assert (one.name, one.version) == ("x", "1.0")
    (tmp_path / "out").mkdir()
    before = os.umask(0o077)
    try:
        one.unpack(tmp_path / "out")
    finally:
        os.umask(before)
    assert tree(tmp_path / "out") == ["more.py", "x-1.0.dist-info/METADATA", "x-1.0.dist-info/RECORD", "x-1.0.dist-info/WHEEL", "x/__init__.py"]
    assert stat.S_IMODE((tmp_path / "out/x").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out/x/__init__.py").stat().st_mode) == 0o644


@pytest.mark.parametrize("path", ["/x.py", "../x.py", "a/../../x.py", "a//x.py", "./x.py", "a\\x.py", "C:\\x.py", "x\n.py", "a/" * 50 + "x.py", "y" * 300 + ".py", "x-1.0.data/purelib/../../x.py"])
def test_paths_that_lead_elsewhere_are_refused(tmp_path, path):
    with pytest.raises(BadWheel, match="no path inside it"):
        Wheel(write(tmp_path, wheel("x", files={path: ""})))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_what_is_no_plain_file_is_refused(tmp_path, kind):
    name, data = wheel("x")
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo("x/link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(BadWheel, match="no plain file"):
        Wheel(write(tmp_path, (name, out.getvalue())))


def test_a_file_larger_than_it_says_is_refused(tmp_path):
    name, data = wheel("x", files={"x.py": "#" * 100_000})
    path = write(tmp_path, (name, data))
    one = Wheel(path)
    small = next(member for member in one._members if member.target == "x.py")
    small.info.file_size = 10
    (tmp_path / "out").mkdir()
    with pytest.raises(BadWheel):
        one.unpack(tmp_path / "out")


@pytest.mark.parametrize("name", ["x.whl", "x-1.0.tar.gz", "../x-1.0-py3-none-any.whl", "x-1.0-py3-none.whl", "-1-py3-none-any.whl", "x y-1.0-py3-none-any.whl"])
def test_names_that_wheels_do_not_have_are_refused(tmp_path, name):
    path = tmp_path / Path(name).name
    path.write_bytes(wheel("y")[1])
    with pytest.raises(BadWheel, match=r"not the name of a wheel|of itself"):
        Wheel(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04" + b"\0" * 100, os.urandom(1000), wheel("x")[1][:-30]])
def test_what_is_no_archive_is_refused(tmp_path, data):
    with pytest.raises(BadWheel, match="cannot be read"):
        Wheel(write(tmp_path, ("x-1.0-py3-none-any.whl", data)))


def test_a_wheel_of_another_package_is_refused(tmp_path):
    with pytest.raises(BadWheel, match="says of itself that it is 'y'"):
        Wheel(write(tmp_path, ("x-1.0-py3-none-any.whl", wheel("y")[1])))


def test_a_wheel_without_metadata_or_with_two_is_refused(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(BadWheel, match="no METADATA"):
        Wheel(write(tmp_path, ("x-1.0-py3-none-any.whl", out.getvalue())))
    with pytest.raises(BadWheel, match="no METADATA"):
        Wheel(write(tmp_path, wheel("x", files={"y-1.dist-info/METADATA": "Name: y"})))


def test_a_file_held_twice_and_one_that_is_a_folder_too_are_refused(tmp_path):
    with pytest.raises(BadWheel, match="twice"):
        Wheel(write(tmp_path, wheel("x", files={"x.py": "", "x-1.0.data/purelib/x.py": ""})))
    one = Wheel(write(tmp_path, wheel("x", files={"x": "", "x/y.py": ""})))
    (tmp_path / "out").mkdir()
    with pytest.raises(BadWheel, match="cannot be unpacked"):
        one.unpack(tmp_path / "out")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "MAX_FILES", 5)
    with pytest.raises(BadWheel, match="at most 5"):
        Wheel(write(tmp_path, wheel("x", files={f"{n}.py": "" for n in range(5)})))


def test_requirements_by_address_are_named(tmp_path):
    assert Wheel(write(tmp_path, wheel("x", requires=("a @ https://b.example/a.whl", "c>=1; extra == 'd@e'")))).addresses == ["a @ https://b.example/a.whl"]


def test_folders_are_merged_and_what_is_there_stays(tmp_path):
    for place, text in (("a/n/one.py", "1"), ("a/same.py", "a"), ("b/n/two.py", "2"), ("b/same.py", "b"), ("b/n/deep/x.py", "")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    merge(tmp_path / "b", tmp_path / "a")
    assert tree(tmp_path / "a") == ["n/deep/x.py", "n/one.py", "n/two.py", "same.py"]
    assert (tmp_path / "a/same.py").read_text() == "a"
