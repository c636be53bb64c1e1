"""`codeact serve user`: accounts of the chat, their keys and logins, and what each may use."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.cli._parser import Parser
from codeact.cli._sheet import counted
from codeact.errors import ChatRefused, ConfigError

if TYPE_CHECKING:
    from codeact.chats.store import Store

__all__ = ["add_limits", "add_store", "limits_of", "users"]

_TOKEN_SECONDS = 365 * 24 * 3600.0


def users(argv: Sequence[str]) -> int:
    """Run it; `argv` without these two words."""
    from codeact.chats.chats import open_store

    parser = Parser(prog="codeact serve user",
                    description="Accounts of `codeact serve --auth`, and what users may use.")
    parser.add_argument("what", choices=(*_DO, "list"), metavar="|".join((*_DO, "list")),
                        help="`add` makes an account, or gives it another password; `token` a key for programs")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="whose account")
    parser.add_argument("--conversations", action="store_true",
                        help="with `delete`: remove the user's conversations too, with their files; with `add`: have a "
                        "new account get those that are there under its name")
    add_store(parser)
    add_limits(parser, "(with `limits`; none: no limit, default: as the server has it)")
    args = parser.parse_args(argv)
    if args.what != "limits" and any(limits_of(args).values()):
        raise ConfigError(f"limits are set by: codeact serve user limits {args.name or 'NAME'} --max-... ...")
    store = open_store(args.database, args.data)
    try:
        if args.what == "list":
            print(*(store.users() or ["no accounts; make one: codeact serve user add NAME"]), sep="\n")
        elif not args.name:
            raise ConfigError(f"whose account? codeact serve user {args.what} NAME")
        else:
            _DO[args.what](store, args)
    finally:
        store.close()
    return 0


def _add(store: Store, args: argparse.Namespace) -> None:
    from codeact.web.login import add_user

    was_there = store.user_hash(args.name) is not None
    is_new = not was_there and args.name.isprintable()
    if is_new and not args.conversations and (n_there := store.count(args.name)):
        raise ConfigError(f"no account was made: {counted(n_there, 'conversation')} of that name stand here, from an "
                          "account that was deleted or a user whom a proxy named; if this is the same person: "
                          f"codeact serve user add {args.name} --conversations; else remove them: codeact serve user "
                          f"delete {args.name} --conversations")
    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        add_user(store, args.name, password)
    except ChatRefused as error:
        raise ConfigError(f"no account was made or changed: {error}") from None
    print(f"{args.name} has another password" if was_there else f"{args.name} can log in")


def _token(store: Store, args: argparse.Namespace) -> None:
    from codeact.server.serve import new_token
    from codeact.web.gate import hashed

    _known(store, args.name)
    token = new_token()
    store.add_login(hashed(token), args.name, time.time() + _TOKEN_SECONDS)
    print(token)


def _delete(store: Store, args: argparse.Namespace) -> None:
    from codeact.chats.chats import forget

    was_there = store.delete_user(args.name)
    if not was_there and not (args.conversations and store.count(args.name)):
        raise ConfigError(f"there is no account {args.name!r}")
    if was_there:
        print(f"{args.name} cannot log in any more")
    if args.conversations:
        print(f"{counted(forget(store, args.name, args.data), 'conversation')} removed")
    elif n_left := store.count(args.name):
        print(f"{counted(n_left, 'conversation')} left; to remove what is left, with all files: codeact serve user "
              f"delete {args.name} --conversations")


def _logout(store: Store, args: argparse.Namespace) -> None:
    n_ended = store.end_logins(args.name)   # a user named by a proxy, or by the token, has no account
    print(f"{counted(n_ended, 'login or key', 'logins and keys')} of {args.name} ended")


def _limits(store: Store, args: argparse.Namespace) -> None:
    from codeact.chats.quota import Quota, Rate

    given = {name: text for name, text in limits_of(args).items() if text is not None}
    set_now = {name: None if text == "default" else Quota.read({name: text}).spelled()[name]
               for name, text in given.items()}
    if store.user_hash(args.name) is None:
        print(f"there is no account {args.name!r}: this is for a user of that name whom a proxy names", file=sys.stderr)
    if set_now:
        store.set_quota(args.name, **set_now)
    now = store.quota_of(args.name)
    quota = Quota.read(now)
    sizes = store.sizes(args.name).values()
    cost, tokens = quota.cost or Rate(1), quota.tokens or Rate(1)
    since = {"day": "today (UTC)", "month": "this month (UTC)"}
    used = {"disk": f"{sum(size or 0 for size in sizes) / (1 << 20):,.1f} MB",
            "cost": f"{store.spent(args.name, cost)[1]:,.2f} dollars {since[cost.per]}",
            "tokens": f"{store.spent(args.name, tokens)[0]:,} tokens {since[tokens.per]}"}
    for name, unit in (("disk", "MB"), ("cost", "dollars"), ("tokens", "tokens")):
        number, slash, per = (now.get(name) or "").partition("/")
        limit = {"": "as the server has it", "none": "no limit"}.get(number, f"{number} {unit}{slash}{per}")
        print(f"--max-{name:8} {limit}; used: {used[name]}")


def _known(store: Store, name: str) -> None:
    if store.user_hash(name) is None:
        raise ConfigError(f"there is no account {name!r}; codeact serve user add {name} makes it")


_DO = {"add": _add, "token": _token, "delete": _delete, "logout": _logout, "limits": _limits}


def add_store(parser: argparse.ArgumentParser) -> None:
    """Flags that say where conversations are."""
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("CODEACT_DATABASE", ""),
        help="as SQLAlchemy takes it (default: CODEACT_DATABASE, else SQLite in the data folder)",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="files and states (default: ~/.local/share/codeact)")


def add_limits(parser: argparse.ArgumentParser, words: str) -> None:
    """Flags of what one user may use."""
    add = parser.add_argument
    add("--max-disk", metavar="MB", help="megabytes (of 2**20 bytes, as 2000) for files and saved states of one "
        f"user's conversations {words}")
    add("--max-cost", metavar="AMOUNT", help="US dollars that one user's models may cost in a day, or as 20/month; as "
        f"far as they tell it {words}")
    add("--max-tokens", metavar="N", help="tokens read and written by one user's models in a day, or as 1e6/month "
        f"{words}")


def limits_of(args: argparse.Namespace) -> dict[str, str | None]:
    """What these flags say, as `Quota.read` takes it."""
    return {"disk": args.max_disk, "cost": args.max_cost, "tokens": args.max_tokens}
