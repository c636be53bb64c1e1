"""The process that runs cells: forked by the keeper, walled before it reads its first frame.

It waits for frames (docs/kernel_protocol.md), runs cells through `Repl`, and forks frozen copies of itself as
checkpoints (freezing.py). What it tells the host is only ever a claim: user code shares this process and can say
anything.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import os
import signal
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import frames, stubs, toolset, values
from .bundles import bounded, spelled
from .freezing import Freezing
from .link import Link, Shield
from .offline import Offline
from .repl import Repl
from .reserve import Reserve
from .streams import Marks, Output, install_stdin
from .wire import Connection, ProtocolError, pack_frame, unpack_header

__all__ = ["Worker"]

SIGINT, SIG_UNBLOCK = int(signal.SIGINT), int(signal.SIG_UNBLOCK)


class Worker(Freezing):
    """One running copy of a session's state.

    Made once in a zygote, where it rehearses a cell; each session's worker is a fork of it that `begin`s.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shield = Shield()
        self.reserve = Reserve()
        self.link = Link(self.shield)
        self.pid = os.getpid()
        self.output = Output(Marks(1, "", 0))
        self._displays = 0
        self._number = 0
        self._is_tidy = False
        """Nothing has run since `_tidy_up`."""
        self._tools: List[str] = []
        install_stdin(self._ask_input)
        self.repl = Repl(self._emit)
        os.register_at_fork(before=self.output.flush, after_in_child=self._in_forked_child)
        self._flush_before_children()
        self._offline: Optional[Offline] = None
        self._buffers: Sequence[Any] = ()
        self._given: Dict[str, Any] = {}
        """What the session began with."""
        self._environment = dict(os.environ)

    def begin(self, config: Dict[str, Any]) -> None:
        """Become a session's own.

        Args:
            config: The start frame's and the session frame's fields together.
        """
        self._config = config
        self._may_speak_after_fork = False
        self.output.marks.nonce, self.output.marks.max_bytes = config["nonce"], config["output_bytes"]
        if config.get("packages"):
            self.repl.commands.packages.take_up(config["packages"], self._call)

    # What user code reaches -----------------------------------------------------------------------------------------

    def _emit(self, kind: str, bundle: Dict[str, Any], meta: Dict[str, Any]) -> None:
        if os.getpid() != self.pid:
            return
        self._displays += 1
        self.output.flush()
        self.output.marks.display(self._displays)
        tree, buffers = values.pack(bounded(bundle))
        self.link.send({"t": "display", "id": self._displays, "data": tree}, buffers)

    def _ask_input(self, prompt: str, hidden: bool) -> Optional[str]:
        self.output.flush()
        header, _ = self.link.ask({"t": "input", "prompt": prompt, "hidden": hidden})
        text = header.get("text")
        return text if isinstance(text, str) else None

    def _call(self, name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        header, buffers = stubs.request(name, args, kwargs)
        self.output.flush()   # what was printed before comes before the call
        try:
            return stubs.answer(*self.link.ask(header, buffers))
        except ProtocolError as error:
            raise TypeError("the arguments of %s() are too large: %s" % (name, error)) from None

    async def _call_async(self, name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        header, buffers = stubs.request(name, args, kwargs)
        self.output.flush()
        try:
            return stubs.answer(*await self.link.ask_async(header, buffers))
        except ProtocolError as error:
            raise TypeError("the arguments of %s() are too large: %s" % (name, error)) from None

    def _in_forked_child(self) -> None:
        """A child of user code (multiprocessing, os.fork) keeps no hold on the host's sockets."""
        if not self._may_speak_after_fork:
            self.link.after_fork(None)
            try:
                self.link.connection.sock.close()
            except OSError:
                pass

    def _flush_before_children(self) -> None:
        """What was printed before a child process starts comes before what the child prints."""
        flush, system = self.output.flush, os.system
        start = subprocess.Popen._execute_child   # type: ignore[attr-defined]

        def _execute_child(*args: Any, **kwargs: Any) -> Any:
            flush()
            return start(*args, **kwargs)

        def flush_and_system(command: Any) -> int:
            flush()
            return system(command)

        subprocess.Popen._execute_child = _execute_child   # type: ignore[attr-defined]
        flush_and_system.__name__ = flush_and_system.__qualname__ = "system"
        os.system = flush_and_system

    # Frames ---------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer frames until the host goes. Never returns."""
        while True:
            try:
                header, self._buffers = self.link.next_frame(self._idle)
                handler = getattr(self, "on_" + header["t"], None)
                if handler is not None:
                    handler(header)
            except KeyboardInterrupt:
                continue
            if os.getpid() != self.pid:
                os._exit(0)   # a child of user code came back here instead of ending

    def _idle(self) -> None:
        """Let asyncio tasks that outlive their cell go on until the host says something."""
        if self.repl.is_busy():
            self._is_tidy = False
            with self.reserve:
                self.repl.run_pending(self.link.connection.fileno())

    def on_open(self, header: Dict[str, Any]) -> None:
        """Take a session over: its tools, its helper module."""
        toolset.undefine(self.repl.namespace, self._tools)
        self._tools = toolset.define(self.repl.namespace, header, lambda spec: self._call, self._call_async)
        error = None
        if header.get("preload"):
            self._tidy_up()
            self._is_tidy = False
            error = self._run(header["preload"], 0)["error"]
        self._given, self._environment = dict(self.repl.namespace), dict(os.environ)
        self.link.send({"t": "opened", "error": error})

    def on_rehearse(self, header: Dict[str, Any]) -> None:
        """While this session stands by: touch what the first cell will, as each first touch copies a page."""
        self.link.send(*self.stand_by())

    def on_warm(self, header: Dict[str, Any]) -> None:
        """The session that stood by is taken: rehearse while the host makes its part ready."""
        self.stand_by()

    def stand_by(self) -> Tuple[Dict[str, Any], List[bytes]]:
        """Rehearse in a session's own worker, and be ready for the first cell; what would be said of it."""
        done = self.rehearse()
        self._tidy_up()
        return done

    def rehearse(self) -> Tuple[Dict[str, Any], List[bytes]]:
        """Run a cell that nobody will know of; what would be said of it."""
        self.output.install()
        self.output.marks.start()
        self.output.marks.left = 0   # what it prints goes nowhere
        self.link.begin_cell()
        self.repl.rehearse()
        self.link.end_cell()
        self.output.marks.start()
        tree, buffers = values.pack({"text/plain": "2"})
        done = {"t": "rehearsed", "value": tree}
        unpack_header(pack_frame(done, buffers)[8:])
        return done, list(buffers)

    def on_run(self, header: Dict[str, Any]) -> None:
        """Run a cell, say how it went, then put right what it left behind."""
        self._number = header["n"]
        if not self._is_tidy or _thread._count():   # a thread may have been at work meanwhile
            self._tidy_up()
        self._is_tidy = False
        self.output.marks.start()
        self.link.begin_cell()
        started = time.monotonic()
        if header.get("offline"):
            self._offline = self._offline or Offline()
            with self._offline:
                result = self._run(header["code"], self._number)
        else:
            result = self._run(header["code"], self._number)
        if os.getpid() != self.pid:
            os._exit(0)
        self.output.flush()
        self.output.marks.finish()
        self._say_done(result, started)
        self.reserve.is_short = (result["error"] or {}).get("name") == "MemoryError"
        self._tidy_up()

    def _say_done(self, result: Dict[str, Any], started: float) -> None:
        done = {"t": "done", "n": self._number, "status": result["status"], "value": None, "error": result["error"],
                "pure": result["pure"], "seconds": round(time.monotonic() - started, 6)}
        try:
            value, buffers = (None, []) if result["value"] is None else spelled(result["value"])
            self.link.send({**done, "value": value}, buffers)
        except (MemoryError, ProtocolError) as failure:     # nothing of it was sent
            result.update(value=None, error=frames.last_resort(failure))
            self.link.send({**done, "status": "error", "error": result["error"], "pure": False})

    def _tidy_up(self) -> None:
        """Before a cell: streams, builtins and the interrupt as they should be."""
        self.output.install()
        self.repl.tidy()
        if _signal.getsignal(SIGINT) != self.shield.on_signal:   # _signal: no enumerations, ten times as fast
            signal.signal(SIGINT, self.shield.on_signal)
        _signal.pthread_sigmask(SIG_UNBLOCK, (SIGINT,))
        self._is_tidy = True

    def _run(self, code: str, number: int) -> Dict[str, Any]:
        self.shield.pending = False
        try:
            self.shield.executing = True
            try:
                with self.reserve:
                    return self.repl.run(code, number)
            finally:
                self.shield.executing = False
                self.link.end_cell()
        except BaseException as error:   # an interrupt between two lines of ours
            return {"status": "error", "value": None, "pure": False,
                    "error": {"name": type(error).__name__, "message": "", "traceback": type(error).__name__}}

    # The state as data ----------------------------------------------------------------------------------------------

    def on_variables(self, header: Dict[str, Any]) -> None:
        """A table of the session's variables."""
        from . import variables

        self._answer(lambda: _as_json(variables.listing(self.repl.namespace, self._given, own=header["own"] is True)))

    def on_store(self, header: Dict[str, Any]) -> None:
        """The session's state, for a file."""
        from . import state

        def store() -> Dict[str, Any]:
            text, buffers = state.store(self.repl, self._given, self._environment, self._config["workspace"])
            return {"application/json": text, **{str(n): buffer for n, buffer in enumerate(buffers)}}

        self._answer(store)

    def on_restore(self, header: Dict[str, Any]) -> None:
        """Take another session's state over."""
        import json

        from . import state

        stored, cells, *buffers = self._buffers
        self._buffers = ()
        self._number = header["n"]

        def restore() -> Dict[str, Any]:
            self._offline = self._offline or Offline()
            with self._offline:
                return _as_json(state.restore(self.repl, json.loads(bytes(stored)), json.loads(bytes(cells)), buffers,
                                              self._config["workspace"]))

        self._answer(restore)

    def _answer(self, make: Callable[[], Dict[str, Any]]) -> None:
        """Do something other than a cell with a cell's care, and send what comes of it as a bundle."""
        self._tidy_up()
        self._is_tidy = False
        self.output.marks.start()
        started = time.monotonic()
        self.shield.pending = False
        value, error = None, None
        buffers: List[bytes] = []
        try:
            self.repl.guard.enter()
            try:
                self.shield.executing = True
                with self.reserve:
                    value, buffers = values.pack(make())
            finally:
                self.shield.executing = False
                self.repl.guard.leave()
                self.repl.guard.repair()
        except BaseException as failure:
            error = frames.last_resort(failure)
        if os.getpid() != self.pid:
            os._exit(0)
        self.output.flush()
        self.output.marks.finish()
        answer = {"t": "done", "n": self._number, "status": "error" if error else "ok", "value": value, "error": error,
                  "pure": False, "seconds": round(time.monotonic() - started, 6)}
        try:
            self.link.send(answer, buffers)
        except (MemoryError, ProtocolError) as failure:     # nothing of it was sent
            buffers.clear()
            self.link.send({**answer, "status": "error", "value": None, "error": frames.last_resort(failure)})

    # Forks ----------------------------------------------------------------------------------------------------------

    def take_up(self, connection: Connection, output: int) -> None:
        """In a process just forked: what is its own.

        Args:
            connection: To the host.
            output: The pipe that descriptors 1 and 2 write to.
        """
        _signal.signal(SIGINT, self.shield.on_signal)
        self.pid = os.getpid()
        self._copies = []
        self.shield.depth, self.shield.pending, self.shield.executing = 0, False, False
        self.link.after_fork(connection)
        self.output.move(output)
        os.close(output)
        self.repl.after_fork()
        self._is_tidy = False


def _as_json(data: Any) -> Dict[str, Any]:
    import json

    return {"application/json": json.dumps(data)}
