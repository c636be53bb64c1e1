"""A package index on loopback that keeps what it was asked, and the wheels and source distributions in it, made by hand."""

import base64
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


def wheel(name: str, version: str = "1.0", files: dict[str, str] | None = None, requires: tuple[str, ...] = (), *, info: str = "") -> tuple[str, bytes]:
    """A wheel of one module that knows its version, or of these files: its name and its bytes."""
    files = {f"{name}.py": f"__version__ = {version!r}\n"} if files is None else files
    folder = f"{info or name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {**files, f"{folder}/METADATA": metadata, f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", f"{folder}/RECORD": ""}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


BACKEND = """
import json, os, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    {extra}
    name = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        archive.writestr("{name}.py", "environment = " + repr(dict(os.environ)) + "\\nseen = " + repr(seen))
        archive.writestr("{name}-{version}.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{metadata}")
        archive.writestr("{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("{name}-{version}.dist-info/RECORD", "")
    return name
"""


def sdist(name: str, version: str = "1.0", extra: str = "seen = None", metadata: str = "") -> tuple[str, bytes]:
    """A source distribution whose build runs `extra`, needs nothing else, and puts the environment of the build into the module."""
    top = f"{name}-{version}"
    files = {"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
             "backend.py": BACKEND.format(name=name, version=version, extra=extra, metadata=metadata),
             "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{top}.tar.gz", out.getvalue()


class PackageIndex:
    """Serves `/simple/NAME/` and `/files/FILE`; as an HTTP proxy too, for whatever host it is asked for.

    Args:
        files: Name and bytes of each.
        password: Of the user "user", without whom nothing is served.
    """

    def __init__(self, *files: tuple[str, bytes], password: str | None = None):
        self.files = dict(files)
        self.asked: list[str] = []
        """Paths, as they came."""
        self.headers: list[dict[str, str]] = []
        self.hold = threading.Event()
        """Set until files are to be held back."""
        self.hold.set()
        self.held = threading.Event()
        """Set once a file is being held back."""
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/simple"
        self.authorization = None if password is None else "Basic " + base64.b64encode(f"user:{password}".encode()).decode()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path
        self.asked.append(path)
        self.headers.append(dict(request.headers.items()))
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            self.send(request, 401, b"who are you?", "text/plain")
        elif path.startswith("/simple/"):
            name = path.split("/")[2]
            links = [f'<a href="/files/{file}">{file}</a>' for file in self.files if file.split("-")[0].replace("_", "-").lower() == name]
            self.send(request, 200 if links else 404, f"<html><body>{''.join(links)}</body></html>".encode(), "text/html")
        elif path.removeprefix("/files/") in self.files:
            if not self.hold.is_set():
                self.held.set()
                self.hold.wait(60)
            self.send(request, 200, self.files[path.removeprefix("/files/")], "application/octet-stream")
        else:
            self.send(request, 404, b"nothing here", "text/plain")

    @staticmethod
    def send(request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        if status == 401:
            request.send_header("WWW-Authenticate", 'Basic realm="index"')
        request.end_headers()
        request.wfile.write(body)

    def fetched(self) -> list[str]:
        """Files that were asked for."""
        return [path.removeprefix("/files/") for path in self.asked if path.startswith("/files/")]

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
