"""What a task made, for the user to keep: copied out of a workspace that is about to go, and named."""

from collections.abc import Sequence
from pathlib import Path

from codeact.cli._control import cleaned
from codeact.cli._files import Shelf
from codeact.cli._terminal import shown

__all__ = ["keep", "named", "there", "without_hidden"]

MAX_COPIES = 100


def keep(shelf: Shelf, workspace: Path, names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Copy what cells wrote.

    Returns:
        The copies, and what went wrong, in words.
    """
    copies: list[Path] = []
    wanted = without_hidden(names)
    try:
        for name in wanted[:MAX_COPIES]:
            copy = shelf.add_copy(workspace, name)
            copies += [copy] if copy else []
    except OSError as error:
        return copies, [f"files could not be copied to {shown(shelf.folder)}: {error}"]
    if len(wanted) > MAX_COPIES:
        return copies, [f"of {len(wanted)} files written, the first {MAX_COPIES} are kept; --workspace keeps all"]
    return copies, []


def there(folder: Path, names: Sequence[str]) -> list[Path]:
    """What cells wrote in a folder of the user's and is still there."""
    return [folder / name for name in without_hidden(names) if (folder / name).is_file()]


def without_hidden(names: Sequence[str]) -> list[str]:
    """Hidden ones are caches of libraries, whose home the workspace is."""
    return [name for name in dict.fromkeys(names) if not any(part.startswith(".") for part in Path(name).parts)]


def named(paths: Sequence[Path], waiting: str) -> str:
    """What the user now has, and, where that is another thing, what waits; "" where there is nothing."""
    told = ""
    if paths := list(dict.fromkeys(paths)):
        names = [f"  {cleaned(shown(path))}" for path in paths[:MAX_COPIES]]
        more = [f"  ... and {len(paths) - MAX_COPIES} more"] if len(paths) > MAX_COPIES else []
        told = "\n".join(["", "Files for you:", *names, *more, ""])
    return told + (f"\n{waiting}\n" if waiting else "")
