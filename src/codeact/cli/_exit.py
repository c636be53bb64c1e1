"""How the command ends: exit codes, and faults that were foreseen as a message, never as a traceback."""

import os
import sys
from collections.abc import Callable

from codeact.cli._control import cleaned
from codeact.cli._session import in_flags
from codeact.errors import Cancelled, CodeActError, ConfigError, InterpreterError

__all__ = ["ANSWERED", "FAILED", "INTERRUPTED", "NO_ANSWER", "USAGE", "fail", "guarded"]

ANSWERED, NO_ANSWER, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def guarded(run: Callable[[], int]) -> int:
    """Run a verb; its exit code, or that of what went wrong."""
    try:
        return run()
    except SystemExit as left:   # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except ConfigError as error:
        return fail(error, USAGE)
    except (CodeActError, InterpreterError) as error:
        return fail(error, FAILED)
    except (Cancelled, KeyboardInterrupt):
        return fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from complaining about that when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return fail("nobody reads the output any more", FAILED)


def fail(reason: object, code: int) -> int:
    """Say what went wrong; the exit code."""
    print(f"codeact: {cleaned(in_flags(str(reason)))}", file=sys.stderr)
    return code
