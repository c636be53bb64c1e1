"""The engines that benchmarks/interpreter.py sets side by side: ours, and what others run code actions with.

Each is started once, stays alive for the whole run and opens sessions; a session runs code and gives back what it
showed. All are driven from this process. The gateway is a process of its own on a loopback port, behind a token made
for the run. Nothing stays behind: folders of Jupyter and IPython lie in a temporary one.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

__all__ = ["NAMES", "Codeact", "Engine", "Missing", "PlainPython", "Session", "create", "usual_environment"]

ANSWER_SECONDS = 60.0
"""Longest wait for one answer of any engine."""


class Missing(Exception):
    """An engine cannot be used here; the text says why, and how it could be."""


class Session(Protocol):
    """Something that runs code actions."""

    def run(self, code: str) -> str:
        """Run one and wait; what it showed: printed text, then the last expression's value."""

    def close(self) -> None:
        """End it, and wait until it is gone."""


class Engine(Protocol):
    """What opens sessions."""

    title: str
    """At the head of its column."""
    stateful: bool
    """Whether variables live from one `run` to the next."""

    def open(self) -> Session:
        """A new session, ready or not: the first `run` waits for it."""

    def pids(self) -> list[int]:
        """The processes of its sessions, and of what they share."""

    def close(self) -> None:
        """End the engine."""


# Ours -----------------------------------------------------------------------------------------------------------------

class Codeact:
    """Sessions of `codeact.Interpreter`, from the zygote or from the standby pool, as the benchmark says.

    The pool refills itself after each session taken, which would disturb what is measured next. So it is held empty
    here (`pool.STANDBY`), and filled by `fill` alone, outside of what is timed.
    """

    stateful = True

    def __init__(self, sandbox: str = "auto") -> None:
        from codeact import Interpreter
        from codeact.interpreter import pool, supervisor

        self._make, self._supervisor = Interpreter, supervisor
        self._pool_module, self._standby, pool.STANDBY = pool, pool.STANDBY, 0
        self.sandbox = sandbox
        self._settings = replace(supervisor.Settings(), sandbox=sandbox)
        with self.open() as first:
            first.run("pass")
            self.level = first.level
        self._zygote = supervisor.zygote_of(self._settings)
        self._pool = supervisor.pool_of(self._settings)
        if not self._zygote.preload_done.wait(ANSWER_SECONDS):
            raise Missing("the zygote did not import its modules in time")
        self.title = f"codeact (level {self.level})"

    def open(self, **settings: Any) -> Any:
        """An `Interpreter`; taken from the pool if `fill` has just put a session there."""
        return self._make(sandbox=self.sandbox, **settings)

    def load(self, file: Path) -> Any:
        """An `Interpreter` that goes on from a saved session."""
        return self._make.load(file, sandbox=self.sandbox)

    def fill(self) -> None:
        """Have one session stand by."""
        self._pool_module.STANDBY = 1
        try:
            self._pool._standing_by.setdefault(self._settings.limits, deque())
            self._pool._taken.put(self._settings)
            deadline = time.monotonic() + ANSWER_SECONDS
            while not self._pool._standing_by[self._settings.limits]:
                if time.monotonic() > deadline:
                    raise TimeoutError("the standby pool did not fill")
                time.sleep(0.002)
        finally:
            self._pool_module.STANDBY = 0

    def pids(self) -> list[int]:
        """Every process of ours but this one: zygotes, keepers, workers, frozen copies."""
        return descendants(self._zygote.process.pid)

    def close(self) -> None:
        self._pool_module.STANDBY = self._standby
        self._supervisor.shutdown()


def descendants(root: int) -> list[int]:
    """A process and all below it, as /proc shows them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue   # it has ended
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return sorted(found)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""   # it has ended


# A process for each action --------------------------------------------------------------------------------------------

def usual_environment() -> dict[str, str]:
    """Ours, but with Python's bytecode written down as it is for a user: compiling anew each time is no one's case."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class PlainPython:
    """`python -c CODE`: no state, no walls; every action pays for a start."""

    title, stateful = "python -c", False

    def open(self) -> PlainPython:
        return self

    def run(self, code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                              timeout=ANSWER_SECONDS, stdin=subprocess.DEVNULL, env=usual_environment()).stdout

    def pids(self) -> list[int]:
        return []

    def close(self) -> None:
        pass


# Jupyter --------------------------------------------------------------------------------------------------------------

def _need(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Missing(f"{' and '.join(missing)} not installed (pip install --group bench)")


def _jupyter_environment(home: Path) -> dict[str, str]:
    """Jupyter's and IPython's folders in a place of ours, so that nothing is left in the user's home."""
    return {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1"}


class _Heard:
    """What one execution has shown so far, from Jupyter's messages."""

    def __init__(self, message_id: str):
        self._id = message_id
        self._text: list[str] = []
        self.replied = self.idle = False
        """The two signs of its end; a client waits for both."""

    def take(self, message: dict[str, Any]) -> None:
        """One message more; those of other executions are passed over."""
        if message["parent_header"].get("msg_id") == self._id:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self._text.append(content["text"])
            elif kind == "execute_result":
                self._text.append(content["data"]["text/plain"])
            elif kind == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            self.replied |= kind == "execute_reply"
            self.idle |= kind == "status" and content["execution_state"] == "idle"

    @property
    def text(self) -> str:
        return "".join(self._text)


class IPyKernel:
    """A stock ipykernel a session, through jupyter_client, as most agents use one."""

    stateful = True

    def __init__(self) -> None:
        _need("ipykernel", "jupyter_client")
        self._home = Path(tempfile.mkdtemp(prefix="codeact-bench-"))
        self._environment = _jupyter_environment(self._home)
        self._before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        self.title = f"ipykernel {importlib.metadata.version('ipykernel')}"

    def open(self) -> Session:
        return _KernelSession()

    def pids(self) -> list[int]:
        return [pid for pid in descendants(os.getpid()) if "ipykernel_launcher" in _command(pid)]

    def close(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(self._home, ignore_errors=True)


class _KernelSession:
    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager

        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=ANSWER_SECONDS)
        except BaseException:
            self.close()
            raise

    def run(self, code: str) -> str:
        heard = _Heard(self._client.execute(code, allow_stdin=False))
        while not heard.idle:
            heard.take(self._client.get_iopub_msg(timeout=ANSWER_SECONDS))
        while not heard.replied:
            heard.take(self._client.get_shell_msg(timeout=ANSWER_SECONDS))
        return heard.text

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


class Gateway:
    """jupyter_kernel_gateway over HTTP and a websocket, as the original CodeAct uses it (without its container).

    Listens on 127.0.0.1 alone, behind a token handed over in the environment.
    """

    stateful = True

    def __init__(self) -> None:
        _need("kernel_gateway", "websocket")
        self._home = Path(tempfile.mkdtemp(prefix="codeact-bench-"))
        self._token = secrets.token_hex(24)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kernel_gateway"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=self._home, start_new_session=True, env={   # Ctrl-C is ours to answer
                **os.environ, **_jupyter_environment(self._home), "KG_AUTH_TOKEN": self._token, "KG_IP": "127.0.0.1",
                "KG_PORT": str(self._port), "KG_PORT_RETRIES": "0"})
        try:
            self._await_start()
        except BaseException:
            self.close()
            raise
        self.title = f"kernel gateway {importlib.metadata.version('jupyter_kernel_gateway')}"

    def _await_start(self) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            if self._process.poll() is not None:
                raise Missing(f"the kernel gateway ended at once with exit code {self._process.returncode}")
            try:
                self.request("GET", "/api")
                return
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise Missing("the kernel gateway does not answer") from None
                time.sleep(0.05)

    def request(self, method: str, path: str) -> Any:
        """One HTTP request; the parsed answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, headers={"Authorization": f"token {self._token}"})
            response = connection.getresponse()
            body = response.read()
            if response.status >= 400:
                raise RuntimeError(f"the kernel gateway answers {response.status} to {method} {path}")
            return json.loads(body) if body else None
        finally:
            connection.close()

    def open(self) -> Session:
        return _GatewaySession(self, self._port, self._token)

    def pids(self) -> list[int]:
        return descendants(self._process.pid)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in reversed(descendants(self._process.pid)):
                os.kill(pid, 9)
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


class _GatewaySession:
    def __init__(self, gateway: Gateway, port: int, token: str):
        import websocket

        self._gateway = gateway
        self._path = f"/api/kernels/{gateway.request('POST', '/api/kernels')['id']}"
        try:
            self._socket = websocket.create_connection(
                f"ws://127.0.0.1:{port}{self._path}/channels", timeout=ANSWER_SECONDS,
                header={"Authorization": f"token {token}"}, http_no_proxy=["127.0.0.1"])
        except BaseException:
            gateway.request("DELETE", self._path)
            raise

    def run(self, code: str) -> str:
        number = uuid.uuid4().hex
        self._socket.send(json.dumps({
            "header": {"msg_id": number, "msg_type": "execute_request", "username": "", "session": "", "date": "",
                       "version": "5.3"},
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                        "allow_stdin": False}}))
        heard = _Heard(number)
        while not (heard.idle and heard.replied):
            heard.take(json.loads(self._socket.recv()))
        return heard.text

    def close(self) -> None:
        self._socket.close()
        self._gateway.request("DELETE", self._path)


NAMES: dict[str, Callable[[], Any]] = {"python": PlainPython, "ipykernel": IPyKernel, "gateway": Gateway}
"""What can stand beside codeact, by the name of `--engines`."""


def create(names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Start engines: those that run, and why the others do not, by name."""
    started: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            started[name] = NAMES[name]()
        except Missing as error:
            missing[name] = str(error)
        except BaseException:
            for engine in started.values():
                engine.close()
            raise
    return started, missing
