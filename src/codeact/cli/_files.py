"""Where `codeact` puts what a task made, so that the user finds it: figures, and files of a passing workspace.

With `--workspace DIR --live` files are in DIR already, and figures are added there. Without `--live` files wait for
`codeact apply`; a fresh workspace is removed at the end. Then figures, and of a fresh one also the written files, go to
`codeact-output/` in the current directory. Nothing is ever overwritten.

A workspace may hold anything a cell put there: no link is followed on any part of a path, only regular files are
copied, and all of it goes through descriptors, so that swapping a file meanwhile gains nothing.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import BinaryIO

__all__ = ["FIGURES", "OUTPUT_FOLDER", "Shelf"]

OUTPUT_FOLDER = "codeact-output"
FIGURES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/svg+xml": ".svg"}
"""Image types that are saved, the preferred first, and the suffix of each."""

_MAX_COPY_BYTES = 1 << 30


class Shelf:
    """One folder that files are put into; it is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_figure(self, mime: str, content: str | bytes) -> Path:
        """Save an image, of a type in `FIGURES`, under the next free name.

        Raises:
            OSError: The folder cannot be written to.
        """
        with self._create(f"figure-{number}{FIGURES[mime]}" for number in count(1)) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return Path(file.name)

    def add_copy(self, root: Path, name: str) -> Path | None:
        """Copy the file that cells know as `name` out of the workspace `root`.

        Returns:
            The copy, or None if there is no regular file of that name inside.

        Raises:
            OSError: The folder cannot be written to.
        """
        path = PurePosixPath(name)
        try:
            source = _open_inside(root, path)
        except OSError:
            return None
        with source:
            status = os.fstat(source.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_COPY_BYTES:
                return None
            numbered = (str(path.with_stem(f"{path.stem}-{number}")) for number in count(2))
            with self._create(chain([name], numbered)) as copy:
                shutil.copyfileobj(source, copy)
        return Path(copy.name)

    def _create(self, names: Iterator[str]) -> BinaryIO:
        """A new file under the first name that is free."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return open(path, "xb")
            except FileExistsError:
                continue
        raise AssertionError("names never end")


def _open_inside(root: Path, path: PurePosixPath) -> BinaryIO:
    """Open a file under `root` without following a link below it; `OSError` if that is not possible."""
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise FileNotFoundError(str(path))
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK a named pipe would make us wait for its writer.
        return open(os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")
    finally:
        os.close(folder)
