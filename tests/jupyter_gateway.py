"""A real kernel gateway on a port of this machine, behind a token, for tests."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from types import TracebackType

from ports import free_port

__all__ = ["Gateway"]


class Gateway:
    """`with Gateway() as gateway:` it answers at `gateway.url`, and all its kernels end with it."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.home = tempfile.TemporaryDirectory(prefix="codeact-test-")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def __enter__(self) -> "Gateway":
        # With pytest's variable a kernel does not read what its children print
        environment = {**{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}, "KG_AUTH_TOKEN": self.token, "KG_IP": "127.0.0.1", "KG_PORT": str(self.port),
                       "KG_PORT_RETRIES": "0", "HOME": self.home.name, "JUPYTER_RUNTIME_DIR": f"{self.home.name}/runtime",
                       "IPYTHONDIR": f"{self.home.name}/ipython"}  # fmt: skip
        self.process = subprocess.Popen([sys.executable, "-m", "kernel_gateway", "--KernelRestarter.time_to_dead=0.2"], env=environment,
                                        cwd=self.home.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.request("/api"):
                    return self
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, "the kernel gateway ended at once"
                assert time.monotonic() < deadline, "the kernel gateway does not answer"
                time.sleep(0.1)

    def request(self, path: str, method: str = "GET"):
        """An answer of the gateway's, open."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"token {self.token}"})
        return urllib.request.urlopen(asked, timeout=30)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()
