"""Takes changes out of the layer they lie in: those the user discards, and those that are applied.

pending.py calls it between cells, or when no session runs; the user's folder is only looked at.
"""

from __future__ import annotations

import errno
import os
import stat

from codeact.errors import InterpreterError
from codeact.interpreter.baseline import Baseline, version
from codeact.interpreter.beneath import lstat, remove_tree
from codeact.interpreter.layers import Layer
from codeact.interpreter.overlay import Overlay

__all__ = ["give_up", "settle"]


def give_up(path: str, layer: Layer, baseline: Baseline) -> None:
    """Let the session see the user's file again.

    Raises:
        InterpreterError: It could not be brought back.
    """
    user = lstat(layer.source, path)
    try:
        gone = layer.mine(path) is None and user is None   # with its folder
        same = not gone and layer.discard(path, user)
    except OSError as error:
        raise InterpreterError(f"the change to {path!r} could not be discarded: {error.strerror or error}") from None
    if same:
        baseline.equal(path, version(layer.mine(path)), version(user))
    else:
        baseline.forget(path)


def settle(layer: Overlay, baseline: Baseline) -> None:
    """Take out of an overlay at rest what is applied, so that the user's files show again."""
    layer.settle()
    for path in sorted(baseline.same, reverse=True):
        mine = layer.mine(path)
        if not baseline.is_same(path, version(mine)):
            continue
        try:
            if mine is None or not stat.S_ISDIR(mine.st_mode):
                remove_tree(layer.upper, path)
            else:
                os.rmdir(layer.upper / path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT):
                raise
        baseline.forget(path)
