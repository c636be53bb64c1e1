"""`codeact serve`: the chat in the browser, with its APIs, on a port of this machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.cli._exit import guarded
from codeact.cli._flags import port, positive
from codeact.cli._parser import Parser
from codeact.cli._serve_users import add_limits, add_store, limits_of, users
from codeact.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from codeact.settings import Settings

__all__ = ["HELP", "main"]

HELP = "the chat in the browser, and APIs for other programs"

_EXAMPLES = """\
  codeact serve                                          prints an address with a token; open it
  codeact serve --model openai:gpt-5-mini --port 8000
  codeact serve --database postgresql+psycopg://USER@HOST/NAME
  codeact serve --auth --host 0.0.0.0 --name chat.example.org      accounts; put TLS in front
  codeact serve user add alice                           asks for a password
  codeact serve user token alice                         a key for programs, shown once; good for a year
  codeact serve user limits alice --max-cost 5 --max-disk 2000    what one may use, in a day; shown without flags
  codeact serve user logout alice                        ends all logins and keys
  codeact serve user list | delete alice --conversations

Any client of OpenAI's API can be a front end: base URL http://HOST:PORT/v1, the token as its key, and the model
codeact/NAME. The project's own API is at /api/v1, the code engine's at /engine (with one user), numbers at /metrics.
Users with accounts, or named by a proxy, choose among the models of --model and --offer, the tools of --tool and the
hosts of --allow-network; who has the token chooses any model and any public host.
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    if argv[:1] == ["user"]:
        return guarded(lambda: _users(argv[1:]))
    return guarded(lambda: _serve(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="codeact serve",
        description="The chat in the browser, and APIs for other programs.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("--model", metavar="MODEL", help="of new conversations, as PROVIDER:NAME (default: the one that is set)")
    add("--offer", metavar="MODEL", action="append", default=[], help="a further model to choose; may be repeated")
    add("--base-url", metavar="URL", help="where an OpenAI-compatible server is")
    add("--format", metavar="F", help="how actions are spelled: code, json, text, native (default: code)")
    add(
        "--tool",
        metavar="NAME",
        action="append",
        default=[],
        help="a tool that conversations may use, as `codeact --tool`; may be repeated",
    )
    add(
        "--allow-network",
        metavar="HOST",
        action="append",
        default=[],
        help="a host that cells may reach, where a conversation's options name it; all: every public one; may be "
        "repeated (default: none with accounts, else all)",
    )
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="to listen on (default: this machine alone)")
    add("--port", metavar="PORT", type=port, default=8765, help="0 takes a free one (default: 8765)")
    add("--name", metavar="HOST", action="append", default=[], help="a further name the server is reached by")
    add("--token-file", metavar="FILE", type=Path, help="the token stands there, or is put there")
    add("--no-token", action="store_true", help="let everybody on this machine in; with loopback alone")
    add("--auth", action="store_true", help="accounts of this server's own, in place of the token")
    add("--auth-header", metavar="NAME", help="a proxy says in this header who it is, in place of the token")
    add("--metrics", action="append", default=[], metavar="NAME",
        help="a user who may read the numbers of all users at /metrics (with one user: that one)")
    add(
        "--proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="address or network of a proxy: its --auth-header and X-Forwarded-For are believed",
    )
    add(
        "--login-days",
        metavar="N",
        type=positive(float),
        default=30.0,
        help="so long a browser is known after a login (default: 30); one that was made with the token of --token-file "
        "ends when another stands there",
    )
    add("--https", action="store_true", help="browsers reach it by https (a proxy in front): cookies go by that alone")
    add_store(parser)
    add("--sandbox", metavar="WALLS", default="auto", help="as `codeact exec` takes it (default: auto)")
    add("--memory-mb", metavar="MB", type=positive(int), help="of the code of one conversation (default: 2048)")
    add(
        "--idle",
        metavar="SECONDS",
        type=positive(float),
        default=900.0,
        help="after so long an interpreter is put to sleep (default: 900)",
    )
    add("--max-live", metavar="N", type=positive(int), default=64, help="interpreters awake at once (default: 64)")
    add(
        "--max-running",
        metavar="N",
        type=positive(int),
        help="of one user's conversations at work at once (default: 8 with accounts, else any number)",
    )
    add_limits(parser, "(default: no limit)")
    return parser


def _serve(args: argparse.Namespace) -> int:
    _check_extra()
    from codeact.chats.chats import Chats
    from codeact.chats.quota import Quota
    from codeact.chats.values import Options
    from codeact.server.guard import is_loopback
    from codeact.server.serve import listen, new_token, read_token
    from codeact.server.sessions import Sessions
    from codeact.settings import settle
    from codeact.web.gate import Policy, networks
    from codeact.web.running import run

    if args.no_token and (args.auth or args.auth_header or args.token_file):
        raise ConfigError("--no-token goes with none of --auth, --auth-header and --token-file")
    if args.auth_header and not args.proxy:
        raise ConfigError("--auth-header needs --proxy ADDRESS: a header is believed from addresses that are named")
    networks(args.proxy)  # judged before anything is begun
    quota = Quota.read(limits_of(args))
    listener = listen(args.host, args.port)
    try:
        if args.no_token and not is_loopback(listener.getsockname()[0]):
            raise ConfigError("without a token the server is for this machine alone: leave --host away, or --no-token")
        settings = settle(args)
        _see(args, settings)
        if args.base_url:
            os.environ["OPENAI_BASE_URL"] = args.base_url  # where the models of conversations are looked for
        single = not (args.auth or args.auth_header)
        wants_token = single and not args.no_token
        token = (read_token(args.token_file) if args.token_file else new_token()) if wants_token else None
        policy = Policy(
            host=args.host,
            names=tuple(name.lower() for name in args.name),
            token=token,
            accounts=args.auth,
            header=args.auth_header,
            proxies=tuple(args.proxy),
            secure=args.https,
            login_seconds=args.login_days * 24 * 3600,
            bound=bool(token and args.token_file),
            watchers=tuple(args.metrics),
        )
        defaults = replace(Options(), model=settings.model or "", format=settings.format or "code")
        chats = Chats(
            args.database,
            home=args.data,
            defaults=defaults,
            sandbox=args.sandbox,
            idle_seconds=args.idle,
            max_live=args.max_live,
            max_running=args.max_running or (None if single else 8),
            tools_allowed=args.tool,
            models_offered=args.offer,
            any_model=single,
            hosts_allowed=_hosts_of(args.allow_network, single),
            quota=quota,
            memory_mb=args.memory_mb,
        )
    except BaseException:
        listener.close()
        raise
    if not single and args.sandbox == "none":
        print("with --sandbox none every user has all that the account has which runs this server", file=sys.stderr)
    if args.auth and not chats.store.users():
        print("there is no account yet; make one: codeact serve user add NAME", file=sys.stderr)
    shown = "127.0.0.1" if args.host in ("0.0.0.0", "::") else args.host
    place = listener.getsockname()[1]
    print(f"http://{shown}:{place}/{f'?token={token}' if token else ''}", flush=True)
    print(
        "Ctrl-C ends it; conversations are kept" + ("" if settings.model else "; no model is set: the page says how"),
        file=sys.stderr,
        flush=True,
    )
    engine = Sessions({"sandbox": args.sandbox}, max_live=args.max_live, idle_seconds=args.idle) if single else None
    run(chats, policy, listener, engine=engine)
    return 0


def _see(args: argparse.Namespace, settings: Settings) -> None:
    """See that what conversations may have can be had: told now, not with the first message.

    Servers of the Model Context Protocol are not started for it: one that is away for now must not keep this one down.

    Raises:
        ConfigError: Something cannot.
    """
    from codeact import plugins
    from codeact.interpreter import levels
    from codeact.settings import create_model, settle
    from codeact.tools.toolbox import Toolbox

    try:
        levels.parse(args.sandbox)
    except ValueError as error:
        raise ConfigError(f"--sandbox: {error}") from None
    if args.format and args.format not in (formats := plugins.available("formats")):
        raise ConfigError(f"--format: there is no format {args.format!r}; there are {', '.join(formats)}")
    if args.model:
        create_model(settings)
    for model in args.offer:
        create_model(settle(args, model=model, whence="--offer"))
    for name in args.tool:
        try:
            Toolbox([name] if name.partition(":")[0] != "mcp" else []).close()
        except (ValueError, TypeError) as error:
            raise ConfigError(f"--tool {name}: {error}") from None


def _hosts_of(allowed: Sequence[str], single: bool) -> Sequence[str] | None:
    return None if "all" in allowed or (single and not allowed) else allowed


def _check_extra() -> None:
    """See that all of the extra is there before anything is begun.

    Raises:
        MissingExtra: A package is not.
    """
    for name in ("sqlalchemy", "alembic", "fastapi", "uvicorn", "nicegui", "argon2", "prometheus_client"):
        if find_spec(name) is None:
            raise MissingExtra(name, "web", "`codeact serve`")


def _users(argv: Sequence[str]) -> int:
    _check_extra()
    return users(argv)
