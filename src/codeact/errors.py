"""The program's faults, as exceptions; a model's mistakes are data and never come this way.

Whoever uses the library catches one of these; the command line prints the message and picks its exit code by the
branch. Every message says what happened, what would have worked and what to do next.

    CodeActError
    ├── ConfigError             what the user asked for cannot be done as written
    │   ├── UnknownPlugin       no model, format or back-end of that name
    │   └── MissingExtra        an optional package is not installed
    ├── ModelError              the model's back-end did not give a reply
    │   └── ContextOverflow     the conversation is longer than the model can read
    ├── InterpreterError        the interpreter could not do its work
    │   ├── InterpreterGone     the kernel is gone and could not be brought back, or was closed
    │   ├── InterpreterBusy     a second cell at once
    │   ├── ChangeConflict      the user changed a file that a change of the session's would overwrite
    │   ├── PackageError        packages asked for could not be installed
    │   └── SandboxUnavailable  this machine cannot raise the walls asked for
    ├── GivenUp                 one job of an evaluation after the other failed, not for the model's fault
    ├── ChatError               a conversation of the server's cannot be had that way
    │   ├── NotFound            none of that name, or somebody else's
    │   ├── ChatBusy            something runs in it
    │   │   └── ChatElsewhere   on another server
    │   ├── ChatRefused         what was asked makes no sense
    │   └── LimitReached        a user has as many as may be
    └── TrajectoryError         a trajectory file cannot be read

    Cancelled (BaseException)   someone stopped the rollout while it was waiting

This file imports nothing, so that every other file may use it.
"""

__all__ = [
    "Cancelled",
    "ChangeConflict",
    "ChatBusy",
    "ChatElsewhere",
    "ChatError",
    "ChatRefused",
    "CodeActError",
    "ConfigError",
    "ContextOverflow",
    "GivenUp",
    "InterpreterBusy",
    "InterpreterError",
    "InterpreterGone",
    "LimitReached",
    "MissingExtra",
    "ModelError",
    "NotFound",
    "PackageError",
    "SandboxUnavailable",
    "TrajectoryError",
    "UnknownPlugin",
]


class CodeActError(Exception):
    """Any foreseeable fault of the program; its text is meant to be read by a person."""


class ConfigError(CodeActError):
    """A setting is missing, unknown or contradicts another one."""


class UnknownPlugin(ConfigError):
    """No plug-in of that name; the message lists those there are."""


class MissingExtra(ConfigError):
    """A package that this part needs is not installed; the message says how to install it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'codeact[{extra}]'")


class ModelError(CodeActError):
    """The model's back-end failed, after the retries that made sense."""


class ContextOverflow(ModelError):
    """The messages are longer than the model can read; `rollout` ends the trajectory there."""


class InterpreterError(CodeActError):
    """The interpreter could not do its work; not used for what goes wrong inside a cell."""


class CannotGoBack(InterpreterError):
    """The interpreter has no state from then; nothing was changed."""


class InterpreterGone(InterpreterError):
    """The kernel is gone and could not be started again, or was closed."""


class InterpreterBusy(InterpreterError):
    """A cell is running; interrupt it or wait."""


class ChangeConflict(InterpreterError):
    """Applying changes would undo what the user did meanwhile; `paths` names the files, and these are untouched."""

    def __init__(self, paths: list[str], reason: str) -> None:
        named = ", ".join(map(repr, paths[:10])) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(f"not applied, as the user's folder has changed meanwhile: {named} ({reason}). Look at the "
                         "diff; then discard the change, or apply it by name with force, or apply the others by name")
        self.paths = paths


class PackageError(InterpreterError):
    """Packages for a session could not be installed; the message says why."""


class SandboxUnavailable(InterpreterError):
    """This machine cannot raise the walls asked for."""


class GivenUp(CodeActError):
    """Job after job of an evaluation failed, not for the model's fault: trying the others would only cost."""


class ChatError(CodeActError):
    """A conversation of a server's cannot be had the way that was asked."""


class NotFound(ChatError):
    """There is none of that name; one of somebody else's is none."""


class ChatBusy(ChatError):
    """Something runs in it: wait for it, or stop it."""


class ChatElsewhere(ChatBusy):
    """Another server of the same database is at work on it."""


class ChatRefused(ChatError):
    """What was asked makes no sense; the message says what would."""


class LimitReached(ChatError):
    """A user has, or has asked, as much as one may."""


class TrajectoryError(CodeActError):
    """A trajectory file cannot be read; `line` says where, counting from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class Cancelled(BaseException):
    """The rollout was stopped while a model was waiting for its back-end.

    Not an `Exception`, for the reason `KeyboardInterrupt` is none: HTTP clients catch `Exception` and try again.
    """
