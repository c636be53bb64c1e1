"""What `codeact serve` is told wrong is said at once."""

import pytest

pytest.importorskip("nicegui", reason="nicegui is not installed")

from codeact.cli.serve import main


@pytest.mark.parametrize("port", ["99999", "-1", "1.5", "", "65536"])
def test_a_port_that_is_none_is_refused(port, capsys):
    assert main([f"--port={port}"]) == 2
    assert "a number from 0 to 65535" in capsys.readouterr().err


def test_a_model_there_is_not_is_told_before_an_address_is(tmp_path, capsys):
    assert main(["--port", "0", "--data", str(tmp_path), "--model", "foo:bar"]) == 2
    told = capsys.readouterr()
    assert "unknown model 'foo'" in told.err
    assert "http" not in told.out


@pytest.mark.parametrize(("words", "said"), [
    (["--tool", "nope"], "there is no tool 'nope'; there are: files, "), (["--tool", "./none.py"], "none.py is not there"),
    (["--offer", "nope:x"], "unknown model 'nope'"), (["--offer", "nope"], "--offer names the model 'nope'"),
    (["--format", "yaml"], "--format: there is no format 'yaml'; there are code, json"), (["--sandbox", "paper"], "--sandbox: unknown"),
])  # fmt: skip
def test_what_conversations_could_not_have_is_told_before_an_address_is(words, said, tmp_path, capsys):
    assert main(["--port", "0", "--data", str(tmp_path), *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "http" not in told.out


def test_accounts_that_are_not_there_or_there_already_are_told(tmp_path, capsys, monkeypatch):
    import io

    def user(*words, typed="correct horse battery\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["user", *words, "--data", str(tmp_path)])
        return code, capsys.readouterr()

    assert "no accounts" in user("list")[1].out
    assert "ann can log in" in user("add", "ann")[1].out
    assert "another password" in user("add", "ann")[1].out
    assert "no account 'nobody'" in user("limits", "nobody", "--max-tokens", "5")[1].err
    assert user("limits", "ann", "--max-tokens", "5")[1].err == ""
    code, told = user("add", "bob", typed="short\n")
    assert (code, "a password has 10 to " in told.err, "bob" in user("list")[1].out) == (2, True, False)
    assert "0 logins and keys of ann ended" in user("logout", "ann")[1].out
    user("token", "ann")
    assert "1 login or key of ann ended" in user("logout", "ann")[1].out
    out = user("limits", "ann", "--max-disk", "2000", "--max-cost", "5/month")[1].out
    assert "2000 MB; used: 0.0 MB\n" in out
    assert "5 dollars/month; used: 0.00 dollars this month (UTC)\n" in out
    assert "5 tokens/day; used: 0 tokens today (UTC)\n" in out
    assert "right are megabytes (of 2**20 bytes), as 2000" in user("limits", "ann", "--max-disk", "2GB")[1].err
