"""The interpreter as a server of the Model Context Protocol: any agent that speaks it can run Python behind walls.

`codeact mcp` runs this over standard input and output, for one client and with one session. Tools: `run_python`,
`reset`, `upload`, `download`. What goes wrong in a cell, and what cannot be done, is text with `isError`, for the model
to read; the server lives on. Calls wait for one another; one that its client withdraws is interrupted.

What a client may do is what the session may: nothing here widens the walls, the network or the folders, which the
command line chose. Files move through interpreter/transfer.py, which never leaves the workspace.
"""

from __future__ import annotations

import base64
import binascii
import io
import mimetypes
from collections.abc import Callable, Sequence
from typing import Annotated, Any, BinaryIO, Literal, TypeVar
from urllib.parse import quote

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    ToolAnnotations,
)
from pydantic import Field

from codeact import __version__
from codeact.errors import CodeActError, InterpreterGone
from codeact.interpreter import transfer
from codeact.interpreter.awaiting import run_in_thread
from codeact.interpreter.interpreter import Interpreter
from codeact.interpreter.result import ExecutionResult

__all__ = ["MAX_FILE_BYTES", "Tools", "create_server"]

MAX_FILE_BYTES = 8 << 20
"""Of a file that is moved: it crosses in one message."""
MAX_IMAGES_BYTES = 8 << 20
"""Of all images of one cell."""
MAX_TIMEOUT_SECONDS = 3600.0
MAX_FILES_TOLD = 40
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What models can look at; others are named in the text."""

INSTRUCTIONS = """\
Runs Python in a sandbox. Variables, imports and files stay from one call of run_python to the next, as in a \
notebook: the value of a last expression is shown, figures come back as images, `await` and `!shell` work. A call that \
fails, runs too long or crashes loses no variables. Files go into and out of the working folder with upload and \
download."""

T = TypeVar("T")


class Tools:
    """What the tools do, on one session.

    Args:
        open: Makes an interpreter: at once, and again if it ever ends by itself.
    """

    def __init__(self, open: Callable[[], Interpreter]):
        self._open = open
        self.py: Interpreter | None = open()
        self._turn = anyio.Lock()

    def close(self) -> None:
        """End the session."""
        if self.py is not None:
            self.py.close()
            self.py = None

    async def run_python(self, code: str, timeout: float | None) -> CallToolResult:
        """Run a cell."""
        return _shown(await self._do(lambda py: py.run(code, timeout=timeout)))

    async def reset(self) -> str:
        """Begin again."""
        await self._do(Interpreter.reset)
        return "The variables are gone; the files are still there."

    async def upload(self, path: str, content: str, encoding: Literal["text", "base64"]) -> str:
        """Write a file."""
        if len(content) > 2 * MAX_FILE_BYTES:   # before anything is copied
            raise ToolError(f"a file may have {MAX_FILE_BYTES:,} bytes, and this one has more")
        try:
            data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
        except binascii.Error as error:
            raise ToolError(f"the content is no base64 ({error}); for plain text use encoding='text'") from None
        size = await self._do(lambda py: _put(py, path, data))
        return f"{path}: {size:,} bytes written"

    async def download(self, path: str) -> CallToolResult:
        """Read a file."""

        def read(py: Interpreter) -> bytes:
            with _taken(py, path) as file:
                return file.read(MAX_FILE_BYTES + 1)

        data = await self._do(read)
        if len(data) > MAX_FILE_BYTES:
            raise ToolError(f"{path!r} has more than the {MAX_FILE_BYTES:,} bytes that can be downloaded; let "
                            "run_python cut or compress it")
        return CallToolResult(content=[_file(path, data)])

    async def _do(self, work: Callable[[Interpreter], T]) -> T:
        """Do something with the session, in a thread, when those before are done.

        Raises:
            ToolError: It cannot be done; the text is for the model.
        """

        def with_interpreter() -> T:
            if self.py is None:
                self.py = self._open()
            return work(self.py)

        async with self._turn:
            try:
                return await run_in_thread(with_interpreter, interrupt=self._interrupt)
            except InterpreterGone as error:
                await run_in_thread(self.close, interrupt=lambda: None)
                raise ToolError(f"the session has ended, with its variables and files ({error}); the next call begins "
                                "a new one") from None
            except (CodeActError, ValueError, OSError) as error:
                raise ToolError(_clean(str(error))) from None

    def _interrupt(self) -> None:
        if (py := self.py) is not None:
            py.interrupt()


def create_server(tools: Tools) -> MCPServer[Any]:
    """The server; nothing runs yet."""
    server: MCPServer[Any] = MCPServer("codeact", title="Python behind walls", version=__version__,
                                       instructions=INSTRUCTIONS, log_level="ERROR")

    @server.tool(structured_output=False, annotations=ToolAnnotations(title="Run Python", open_world_hint=False))
    async def run_python(
        code: Annotated[str, Field(description="Python; shell lines begin with !")],
        timeout: Annotated[float | None, Field(
            gt=0, le=MAX_TIMEOUT_SECONDS, description="seconds after which it is stopped")] = None,
    ) -> CallToolResult:
        """Run Python code. Variables stay for the next call; what is printed and the last value come back, and figures
        as images."""
        return await tools.run_python(code, timeout)

    @server.tool(structured_output=False, annotations=ToolAnnotations(title="Forget all variables"))
    async def reset() -> str:
        """Begin again with no variables. Files stay."""
        return await tools.reset()

    @server.tool(structured_output=False, annotations=ToolAnnotations(title="Upload a file", open_world_hint=False))
    async def upload(
        path: Annotated[str, Field(description="relative to the working folder, such as data/table.csv")],
        content: Annotated[str, Field(description="the text, or the bytes in base64")],
        encoding: Annotated[Literal["text", "base64"], Field(description="which of the two")] = "text",
    ) -> str:
        """Write a file into the working folder of run_python. An existing one is replaced."""
        return await tools.upload(path, content, encoding)

    @server.tool(structured_output=False, annotations=ToolAnnotations(title="Download a file", read_only_hint=True))
    async def download(
        path: Annotated[str, Field(description="relative to the working folder, such as data/table.csv")],
    ) -> CallToolResult:
        """Read a file of the working folder of run_python: text, an image, or bytes."""
        return await tools.download(path)

    return server


def _put(py: Interpreter, path: str, data: bytes) -> int:
    """Write a file as the session would: a folder of the user's that is held back stays as it is."""
    if py.layer is None:
        return transfer.put(py.workspace, path, io.BytesIO(data), max_bytes=MAX_FILE_BYTES)
    if len(data) > MAX_FILE_BYTES:
        raise ToolError(f"a file may have {MAX_FILE_BYTES:,} bytes, and this one has more")
    transfer.check(path)
    spelled = base64.b64encode(data).decode("ascii")
    writes = "lambda path, data: [path.parent.mkdir(parents=True, exist_ok=True), path.write_bytes(data)] and None"
    result = py.run(f"({writes})"
                    f"(__import__('pathlib').Path({path!r}), __import__('base64').b64decode('{spelled}'))")
    if result.error is not None:
        raise ToolError(f"{path!r} was not written: {result.error.name}: {result.error.message}")
    return len(data)


def _taken(py: Interpreter, path: str) -> BinaryIO:
    """Open a file as the session sees it: what it wrote, else what lies in the user's folder and was not deleted."""
    if py.layer is not None and any(change.path == path and change.kind == "deleted" for change in py.changes()):
        raise FileNotFoundError(f"the workspace has no file {path!r}")
    try:
        return transfer.take(py.output_folder, path)
    except FileNotFoundError:
        if py.layer is None:
            raise
        return transfer.take(py.workspace, path)


def _shown(result: ExecutionResult) -> CallToolResult:
    text = result.text
    if result.files:
        more = len(result.files) - MAX_FILES_TOLD
        others = f" and {more} more" if more > 0 else ""
        text += f"\n[files written: {', '.join(result.files[:MAX_FILES_TOLD])}{others}]"
    images, left_out = _images(result.outputs)
    if left_out:
        text += f"\n[images too large to be shown: {left_out}]"
    return CallToolResult(content=[_text(text), *images], is_error=result.status != "ok")


def _images(outputs: Sequence[dict[str, str | bytes]]) -> tuple[list[ContentBlock], int]:
    """The images of a cell, and how many there was no room for."""
    found: list[ContentBlock] = []
    room, left_out = MAX_IMAGES_BYTES, 0
    for bundle in outputs:
        for mime in IMAGES:
            data = bundle.get(mime)
            if isinstance(data, bytes):
                room -= len(data)
                if room < 0:
                    left_out += 1
                else:
                    found.append(_image(mime, data))
                break
    return found, left_out


def _file(path: str, data: bytes) -> ContentBlock:
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    if mime in IMAGES:
        return _image(mime, data)
    try:
        return _text(data.decode())
    except UnicodeDecodeError:
        blob = base64.b64encode(data).decode()
        return EmbeddedResource(resource=BlobResourceContents(uri=f"workspace:///{quote(path)}", mime_type=mime,
                                                              blob=blob))


def _image(mime: str, data: bytes) -> ImageContent:
    return ImageContent(data=base64.b64encode(data).decode(), mime_type=mime)


def _text(text: str) -> TextContent:
    return TextContent(text=_clean(text))


def _clean(text: str) -> str:
    """Text that can be sent: what a cell writes may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()
