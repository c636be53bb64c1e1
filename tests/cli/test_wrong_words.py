"""What is wrong on a command line is told in a line or two, with what would have been right."""

import pytest

from codeact.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-turns", "x", "hi"], "codeact: --max-turns: 'x' is not a positive whole number of at most 1,000,000,000"),
        (["--max-turn", "3", "hi"], "codeact: unrecognized arguments: --max-turn; did you mean --max-turns?"),
        (["exec", "--time=3", "1"], "codeact exec: unrecognized arguments: --time=3; did you mean --timeout?"),
        (["chat", "--number", "x"], "codeact chat: --number: 'x' is not a positive whole number"),
        (["eval", "toolforge", "--formt", "code"], "did you mean --format?"),
        (["changes", "--bogus"], "codeact changes: unrecognized arguments: --bogus"),
        (["serve", "user"], "codeact serve user: the following arguments are required: add|token|delete|logout|limits|list"),
        (["data", "get"], "codeact data get: the following arguments are required: NAME"),
        (["config", "get"], "codeact config: write `codeact config`"),
    ],
)
def test_a_wrong_flag_is_told_without_the_usage_of_them_all(words, said, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    first, last = told.err.splitlines()
    assert said in first
    assert last.startswith("See: codeact")
    assert last.endswith(" --help")
    assert told.out == ""


def test_help_has_the_usage(capsys):
    assert main(["exec", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: codeact exec [-h]")
