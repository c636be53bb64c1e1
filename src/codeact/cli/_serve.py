"""`codeact exec --serve PORT`: the interpreter as a service on this machine. The service itself is `server/`."""

from __future__ import annotations

import argparse
import sys

from codeact.cli._session import arguments_of, limits_of, walls_of
from codeact.errors import ConfigError, MissingExtra

__all__ = ["serve"]


def serve(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C.

    Raises:
        ConfigError: The flags do not go together, or the port cannot be had.
        InterpreterError: No session can be started here.
        ValueError, OSError: A flag of the session makes no sense.
    """
    if options.code is not None or options.json:
        raise ConfigError("--serve takes its code from requests: leave the code and --json away")
    if options.no_token and options.token_file:
        raise ConfigError("--no-token and --token-file say opposite things: leave one of them away")
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(str(error.name), "serve", "codeact exec --serve") from None
    from codeact.server import serve as server
    from codeact.server.guard import is_loopback
    from codeact.server.sessions import Sessions

    if options.no_token and not is_loopback(options.host):
        raise ConfigError(f"--no-token lets everybody in who reaches {options.host}, so it goes with loopback only; "
                          "leave --host away, or use --token-file")
    token = None if options.no_token else server.read_token(options.token_file) if options.token_file \
        else server.new_token()
    arguments = {**arguments_of(options), "limits": limits_of(options, seconds=60.0)}
    level = _try(arguments)
    sessions = Sessions(arguments, max_live=options.max_sessions, idle_seconds=options.idle)
    with server.listen(options.host, options.serve) as listener:
        _tell(listener.getsockname()[1], options, token, level, loopback=is_loopback(options.host))
        server.serve(sessions, listener, host=options.host, token=token)


def _try(arguments: dict[str, object]) -> int:
    """Open one session, so that what stands in the way is told now and the first request is not slow; its level."""
    from codeact.interpreter.interpreter import Interpreter

    with Interpreter(**arguments) as py:   # type: ignore[arg-type]
        return py.level


def _tell(port: int, options: argparse.Namespace, token: str | None, level: int, *, loopback: bool) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    walls = walls_of(level, options.backend)
    print(f"codeact exec: serving on http://{host}:{port} ({walls}); Ctrl-C ends it")
    if token is not None:
        print(f"token: {'that of ' + options.token_file if options.token_file else token}")
    else:
        print("no token: every program of this machine can use it")
    sys.stdout.flush()
    if not loopback:
        print("codeact exec: what goes over the network is not encrypted; put something that speaks TLS in front",
              file=sys.stderr, flush=True)
