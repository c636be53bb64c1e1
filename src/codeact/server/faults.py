"""What a request can be answered with when it cannot be done: a status, a code for programs, words for people.

sessions.py raises these, guard.py and api.py answer with them; each message says what to do next. A cell that fails is
none: its traceback is a result.
"""

from __future__ import annotations

from codeact.errors import CodeActError, InterpreterBusy, InterpreterGone, SandboxUnavailable
from codeact.interpreter.transfer import BadPath, TooLarge

__all__ = ["Fault", "fault_of"]


class Fault(CodeActError):
    """A request that cannot be done.

    Args:
        status: Of HTTP.
        code: Stays the same when the words change.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def body(self) -> dict[str, str]:
        """As it is answered."""
        return {"error": self.code, "message": self.message}


def fault_of(error: Exception) -> Fault | None:
    """What a foreseeable exception of the interpreter is answered with; None for a fault of the program's own."""
    match error:
        case Fault():
            return error
        case InterpreterBusy():
            return Fault(409, "busy", "this session is in use; wait for it, or POST /sessions/{id}/interrupt")
        case InterpreterGone():
            return Fault(410, "gone", f"the session has ended ({error}); make a new one with POST /sessions")
        case SandboxUnavailable():
            return Fault(503, "no_walls", f"no session can be started here: {error}")
        case CodeActError():
            return Fault(409, "impossible", str(error))
        case TooLarge():
            return Fault(413, "too_large", str(error))
        case BadPath():
            return Fault(400, "bad_path", str(error))
        case FileNotFoundError():
            return Fault(404, "unknown_file", f"{error}; GET /sessions/{{id}}/files lists what there is")
        case OSError():
            return Fault(409, "impossible", f"the file system refuses: {error.strerror or error}")
    return None
