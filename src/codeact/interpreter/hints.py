"""What might help where a cell failed at a wall: a line for the model and the user, as the failure itself names none.

Called by live.py after each cell. It reads what the cell printed and raised, so a cell can bring a hint about by
printing the right words: it is advice and opens nothing.
"""

from __future__ import annotations

import re

from codeact.interpreter.limits import Limits
from codeact.interpreter.outcome import Outcome

__all__ = ["hint"]

SMALL_MB = 256
"""Below it imports of large libraries fail in ways that do not speak of memory."""
_READ_CHARS = 20_000
"""Of the end of what was printed and of the error."""

_UNREACHABLE = re.compile("Temporary failure in name resolution|Name or service not known|Could not resolve host|"
                          "Network is unreachable")
_REFUSED = re.compile(r"gaierror|Connection refused|ConnectionRefusedError|"
                      r"_socket\.socket\.__init__\((?s:.){0,500}PermissionError")
_NO_MEMORY = re.compile("MemoryError|OpenBLAS error|OpenBLAS warning|Cannot allocate memory|failed to map segment|"
                        "used [0-9]+ MB of memory")
_TOO_LARGE = re.compile(r"\[Errno 27\]|File too large")
_FULL = re.compile(r"\[Errno (?:28|122)\]|No space left on device|Disk quota exceeded")


def hint(outcome: Outcome, limits: Limits, *, walled_off: bool) -> str:
    """One sentence, in the words of the library; "" where there is nothing to say.

    Args:
        walled_off: The session has no network, by a wall of ours.
    """
    if outcome.status == "ok" and not outcome.pieces:
        return ""
    error = "" if outcome.error is None else f"{outcome.error.traceback}\n{outcome.error.name}"[-_READ_CHARS:]
    texts = [str(content) for kind, content in outcome.pieces if kind not in ("dropped", "display")]
    printed = "".join(texts)[-_READ_CHARS:]
    if walled_off and (_UNREACHABLE.search(error) or _REFUSED.search(error) or _UNREACHABLE.search(printed)):
        return 'This session has no network, and a 127.0.0.1 of its own; network=["HOST"] or network="all" opens it.'
    if limits.memory_mb is not None and _wants_memory(outcome, limits.memory_mb, error, printed):
        return f"The session's memory limit is {limits.memory_mb} MB; Limits(memory_mb=N) sets another one."
    if limits.file_mb is not None and _TOO_LARGE.search(error):
        return f"A file may have {limits.file_mb} MB; Limits(file_mb=N) sets another limit."
    if limits.workspace_mb is not None and _FULL.search(error):
        return f"The session's files may have {limits.workspace_mb} MB; Limits(workspace_mb=N) sets another limit."
    return ""


def _wants_memory(outcome: Outcome, memory_mb: int, error: str, printed: str) -> bool:
    if outcome.status == "ok":
        return False
    if _NO_MEMORY.search(error) or _NO_MEMORY.search(outcome.reason) or "OpenBLAS" in printed:
        return True
    told = outcome.error.name if outcome.error is not None else ""
    return memory_mb < SMALL_MB and (outcome.dead or told in ("ImportError", "SystemError"))
