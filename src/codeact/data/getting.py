"""Data fetched, extracted, compared with what it must be, and put where suites find it; whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from codeact.data import extracting, places
from codeact.data.canonical import digest
from codeact.data.fetching import fetch
from codeact.data.sources import Source, source
from codeact.errors import ConfigError

__all__ = ["differing", "get"]


def get(name: str, *, to: Path | None = None, given: str | None = None, sandbox: str = "auto",
        tell: Callable[[str], None] = lambda line: None) -> Path:
    """Get the data `name`, unless it is there already.

    Args:
        to: The folder in which its own will stand; where suites look for it if None.
        given: Another source: a folder with the original's files, or a git repository. What it gives is kept even if
            it differs from the public home's, and that is told.
        tell: Is handed a line about each step.

    Returns:
        The folder that holds the files.

    Raises:
        ConfigError: It cannot be had; nothing was changed.
        InterpreterError: No session could be started to extract it in.
    """
    wanted = source(name)
    home = (to or places.home()).expanduser() / name
    if given is None and home.is_dir() and not differing(wanted, home):
        tell(f"{home} is complete already")
        return home
    if given is not None and ":" not in given and not Path(given).expanduser().is_dir():
        raise ConfigError(f"--from {given}: there is no such folder; name one with the original's files or a git "
                          "repository in it, or the address of a repository")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            tell(f"fetching {given or wanted.url}")
            original = _original(wanted, given, Path(work))
            tell("extracting: the original's files run behind our walls")
            for file, text in extracting.extract(original, sandbox=sandbox).items():
                (made / file).write_text(text, encoding="utf-8")
            if different := differing(wanted, made):
                told = f"{', '.join(different)}: not what the public home gave when this was written"
                if given is None:
                    raise ConfigError(f"{told}; nothing was kept. If you trust {wanted.url}, name it with --from")
                tell(f"warning: {told}; results are not comparable with others'")
            _put(made, home)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"{home} cannot be written: {why}; name another place with --to") from None
    tell(f"{home} is complete")
    return home


def differing(wanted: Source, folder: Path) -> list[str]:
    """The files of a folder that are missing, or are not what they must be."""
    different = []
    for name, expected in wanted.digests.items():
        try:
            same = digest(name, (folder / name).read_text(encoding="utf-8")) == expected
        except (OSError, KeyError, TypeError, ValueError):
            same = False
        if not same:
            different.append(name)
    return different


def _original(wanted: Source, given: str | None, work: Path) -> Path:
    """The folder of the original's files, fetched if need be."""
    url, commit = wanted.url, wanted.commit
    if given is not None:
        local = Path(given).expanduser()
        if local.is_dir() and not (local / ".git").exists():
            return local / wanted.folder if (local / wanted.folder).is_dir() else local
        url, commit = str(local.resolve()) if local.is_dir() else given, "HEAD"
    checkout = work / "repository"
    checkout.mkdir()
    fetch(url, commit, wanted.folder, checkout)
    return checkout / wanted.folder


def _put(made: Path, home: Path) -> None:
    """Move the new folder to its place; an old one goes only once the new one is there."""
    old = made.with_name("old")
    with contextlib.suppress(FileNotFoundError):
        home.rename(old)
    try:
        made.rename(home)
    except OSError:
        if old.exists():
            old.rename(home)
        raise
    shutil.rmtree(old, ignore_errors=True)
