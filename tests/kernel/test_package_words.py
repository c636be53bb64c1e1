"""What a line of pip's in a cell asks for."""

import pytest

from codeact.kernel.packages import Packages, UsageError, split_install, words_of


@pytest.mark.parametrize(("command", "found"), [
    ("pip install x", ("install", ["x"], "")), ("pip3 install -q x y", ("install", ["-q", "x", "y"], "")), ("python -m pip install x", ("install", ["x"], "")),
    ("/a/b/bin/python3.11 -m pip install 'x>=1'", ("install", ["x>=1"], "")), ("pip install x > /dev/null 2>&1", ("install", ["x"], "")),
    ("pip install x 2>/dev/null | tail -n 1", ("install", ["x"], "")), ("pip install x && python main.py", ("install", ["x"], "python main.py")), ("pip install x; ls", ("install", ["x"], "ls")),
    ("pip install x | tail -1 && ls", ("install", ["x"], "ls")), ("pip install x || true", ("install", ["x"], "")), ("uv pip install x", ("install", ["x"], "")), ("conda install -y x", ("install", ["-y", "x"], "")),
    ("pip install x>=1", ("install", ["x>=1"], "")), ("pip install", ("install", [], "")), ("pip uninstall -y x", ("uninstall", ["-y", "x"], "")), ("sudo pip install x", ("install", ["x"], "")),
    ("pip list", None), ("echo pip install x", None), ("pipx install x", None), ("ls", None), ("", None), ("pip installed", None), ("apt install x", None),
])  # fmt: skip
def test_commands_that_install_are_known(command, found):
    assert split_install(command) == found


@pytest.mark.parametrize(("line", "words"), [
    ("einops >= 0.7", ["einops>=0.7"]), ("a>=1, <2 b", ["a>=1,<2", "b"]), ("a  # what for", ["a"]), ("'a b", ["'a", "b"]), ("a [b]", ["a", "[b]"]), ("-q a", ["-q", "a"])])
def test_specifiers_are_one_word(line, words):
    assert words_of(line) == words


def test_options_that_change_something_are_refused():
    with pytest.raises(UsageError, match="not --target"):
        Packages(lambda *_: {}).install(["--target", "/", "x"])
    with pytest.raises(UsageError, match="name of a package"):
        Packages(lambda *_: {}).install(["-q"])
