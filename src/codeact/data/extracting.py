"""M3ToolEval's data out of the original's Python files, which are run behind our walls and never imported here.

The program `_m3tooleval_probe.py` runs in a session that may read the files and nothing else of the user's. What it
hands over is text from code nobody has looked at: it is read as JSON, measured, and rebuilt; none of it is evaluated.

What this does not protect against: data that is wrong. The digests in `sources.py` do.
"""

from importlib import resources
from pathlib import Path

from codeact.data.canonical import digest
from codeact.errors import ConfigError
from codeact.interpreter.interpreter import Interpreter

__all__ = ["FILES", "extract"]

FILES = ("tasks.jsonl", "tools.json", "travel.json", "web_pages.jsonl")

_MAX_CHARS = 10_000_000
_SECONDS = 120.0


def extract(folder: Path, *, sandbox: str = "auto", timeout: float = _SECONDS) -> dict[str, str]:
    """The text of each of the suite's files.

    Args:
        folder: Holds the original's files; is read only.
        timeout: Seconds of wall clock.

    Raises:
        ConfigError: It does not hold them, or what they gave is not the data.
        InterpreterError: No session could be started.
    """
    given: dict[str, str] = {}

    def deliver(name: str, text: str) -> None:
        if name not in FILES or len(text) > _MAX_CHARS:
            raise ValueError("that is none of the files")
        given[name] = text

    program = resources.files("codeact.data").joinpath("_m3tooleval_probe.py").read_text(encoding="utf-8")
    with Interpreter([deliver], read=[folder], sandbox=sandbox) as runner:
        result = runner.run(program.replace('"@ROOT@"', repr(str(folder.resolve()))), timeout=timeout)
    if result.status != "ok":
        said = f"{result.error.name}: {result.error.message}" if result.error else result.status
        raise ConfigError(f"the files in {folder} could not be run: {said:.300}; take another source (--from)")
    missing = [name for name in FILES if name not in given]
    if missing:
        raise ConfigError(f"the files in {folder} did not give {', '.join(missing)}; take another source (--from)")
    for name, text in given.items():
        try:
            text.encode()
            digest(name, text)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"what the files in {folder} gave for {name} is not the data: {error!r:.200}") from None
    return given
