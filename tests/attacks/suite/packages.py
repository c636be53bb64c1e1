"""Attacks by way of packages: on the host's pip with what a cell asks for, on the folder of packages, and on other sessions'."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from .arena import Arena, Outcome, attack

PIP = "import gc\nworker = [one for one in gc.get_objects() if type(one).__name__ == 'Worker'][0]\n"


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """An index that has nothing, and what it was asked."""
    seen: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(5)
                    seen.append(client.recv(65536))
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1], seen
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


@attack(seconds=120)
def package_names_that_are_something_else(arena: Arena) -> Outcome:
    """Options, paths, addresses and line breaks instead of names, from a cell that speaks to the host by itself."""
    names = [f"-r{arena.key}", f"--requirement={arena.key}", f"--target={arena.home}", str(arena.home), f"file://{arena.key}", f"x\n-r {arena.key}", f"x @ file://{arena.key}",
             f"-e{arena.home}", f"--log={arena.home}/log", "x\n--index-url=http://127.0.0.1:9/", f"-c{arena.key}"]
    with listening() as (port, seen), arena.fresh(packages="allow", index_url=f"http://127.0.0.1:{port}/simple") as session, arena.unchanged() as changes:
        results = [arena.run(session, PIP + f"worker._call('%pip', ['install', [{name!r}]], {{}}), worker._call('%pip', ['more'], {{}})") for name in names]
    leaked = [name for name, result in zip(names, results, strict=True) if arena.leaks(result)]
    return not leaked and not changes and not seen, f"leaked {leaked}, changed {changes}, asked {seen}"


@attack(seconds=60)
def package_calls_where_none_are_allowed(arena: Arena) -> Outcome:
    """A forged request in a session whose user has allowed no packages."""
    result = arena.run(arena.session, PIP + "worker._call('%pip', ['install', ['x']], {})")
    return result.error is not None, result.text[-300:]


@attack(seconds=120)
def package_folder_changed(arena: Arena) -> Outcome:
    """Writing where the session's packages go, and where its Pythons begin."""
    with arena.fresh(packages="allow") as session:
        folder = Path(session._backend._session.base.path) / "packages"
        with arena.unchanged(folder) as changes:
            seen = arena.ask(session, """
import pathlib
top = pathlib.Path(folder)
tell(errors=[attempt(function) for function in (
    lambda: (top / "modules/json.py").write_text("1"), lambda: (top / "start/sitecustomize.py").write_text("1"), lambda: os.rename(top / "start", top / "other"),
    lambda: os.symlink("/etc", top / "modules/link"), lambda: os.rmdir(top / "modules"), lambda: os.link("/etc/passwd", top / "modules/passwd"))])
""", folder=folder)
    return not changes and None not in seen.get("errors", [None]), f"{changes} {seen}"


@attack(seconds=120)
def packages_of_another_session(arena: Arena) -> Outcome:
    """Reading another session's packages."""
    with arena.fresh(packages="allow") as one, arena.fresh(packages="allow") as two:
        folder = Path(one._backend._session.base.path) / "packages/modules"
        (folder / "planted.py").write_text(f"secret = {arena.secret!r}")
        (folder / "planted.py").chmod(0o644)
        own = arena.run(one, "import planted; planted.secret == secret", secret=arena.secret)
        other = arena.run(two, "sys.path.append(folder)\nprint(open(folder + '/planted.py').read())", folder=str(folder))
    return own.text.endswith("True") and not arena.leaks(other), f"{own.text[-200:]} {other.text[-200:]}"


