"""What might help where a cell failed at a wall: said where a wall was met, and nowhere else."""

import pytest

from codeact import Interpreter, Limits
from codeact.interpreter.hints import hint
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.result import ErrorInfo


def failed(name: str, message: str = "", **fields: object) -> Outcome:
    return Outcome(status="error", error=ErrorInfo(name, message, f"Traceback ...\n{name}: {message}"), **fields)


@pytest.mark.parametrize("outcome", [
    failed("socket.gaierror", "[Errno -3] Temporary failure in name resolution"),
    failed("URLError", "<urlopen error [Errno -2] Name or service not known>"),
    failed("OSError", "[Errno 101] Network is unreachable"),
    failed("ConnectionRefusedError", "[Errno 111] Connection refused"),
    failed("PermissionError", "[Errno 13] Permission denied\n    _socket.socket.__init__(self, ...)\nPermissionError: ..."),
    failed("CalledProcessError", "exit status 6", pieces=[("stderr", "curl: (6) Could not resolve host: example.com\n")]),
    Outcome(pieces=[("stdout", "sorry: [Errno -3] Temporary failure in name resolution\n")])])  # fmt: skip
def test_a_network_that_is_walled_off(outcome):
    assert 'network=["HOST"]' in hint(outcome, Limits(), walled_off=True)
    assert hint(outcome, Limits(), walled_off=False) == ""


@pytest.mark.parametrize("outcome", [
    failed("MemoryError"), failed("ImportError", "libopenblas.so: failed to map segment from shared object"),
    failed("OSError", "[Errno 12] Cannot allocate memory"),
    Outcome(status="died", dead=True, reason="the process ended itself with exit code 1",
            pieces=[("stderr", "OpenBLAS error: Memory allocation still failed after 10 retries, giving up.\n")]),
    Outcome(status="limit", dead=True, reason="killed: it used 3000 MB of memory, and its limit is 2048 MB")])  # fmt: skip
def test_memory_that_ran_out(outcome):
    assert hint(outcome, Limits(), walled_off=True) == \
        "The session's memory limit is 2048 MB; Limits(memory_mb=N) sets another one."
    assert hint(outcome, Limits(memory_mb=None), walled_off=True) == ""


def test_files_that_are_too_large():
    outcome = failed("OSError", "[Errno 27] File too large")
    assert hint(outcome, Limits(file_mb=5), walled_off=True) == "A file may have 5 MB; Limits(file_mb=N) sets another limit."
    assert hint(outcome, Limits(file_mb=None), walled_off=True) == ""
    assert "workspace_mb" in hint(failed("OSError", "[Errno 28] No space left on device"), Limits(), walled_off=True)


@pytest.mark.parametrize("outcome", [
    failed("ImportError", "cannot import name 'x' from 'numpy'"), failed("SystemError", "error return without exception set"),
    Outcome(status="died", dead=True, reason="the process was killed (SIGSEGV, a segmentation fault)")])  # fmt: skip
def test_failures_that_do_not_speak_of_memory_under_a_small_limit(outcome):
    assert "memory limit is 50 MB" in hint(outcome, Limits(memory_mb=50), walled_off=True)
    assert hint(outcome, Limits(), walled_off=True) == ""


@pytest.mark.parametrize("outcome", [
    Outcome(), failed("ZeroDivisionError", "division by zero"), failed("ModuleNotFoundError", "No module named 'x'"),
    Outcome(pieces=[("stdout", "Connection refused is a message, MemoryError a name\n"), ("dropped", 10 ** 9), ("display", 1)]),
    failed("ValueError", "x" * 1_000_000)])  # fmt: skip
def test_other_cells_are_told_nothing(outcome):
    assert hint(outcome, Limits(memory_mb=50), walled_off=True) == ""


def test_a_session_says_it_in_text_and_in_a_field_of_its_own():
    with Interpreter(limits=Limits(memory_mb=500)) as py:
        result = py.run("x = bytearray(10 ** 10)")
        assert result.hint == "The session's memory limit is 500 MB; Limits(memory_mb=N) sets another one."
        assert result.text.endswith(f"MemoryError\n[{result.hint}]")
        assert py.run("1").hint == ""


def test_the_wordings_of_the_papers_interpreters_have_no_hints():
    with Interpreter(style="mint") as py:
        result = py.run("raise MemoryError")
        assert result.hint
        assert result.hint not in result.text
