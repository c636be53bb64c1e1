"""What a server's tool answers, as a Python value. mcp.py says which part becomes what."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from codeact.tools.mcp_link import McpError
from codeact.tools.schemas import tidy

if TYPE_CHECKING:
    from mcp_types import CallToolResult

__all__ = ["value_of"]

MAX_ERROR = 8000


def value_of(result: CallToolResult, *, wrapped: bool) -> Any:
    """The value of an answer.

    Args:
        wrapped: Structured content is {"result": value}.

    Raises:
        McpError: The server calls it an error.
    """
    parts = [_part(block) for block in result.content]
    if result.is_error:
        said = "\n".join(part for part in parts if isinstance(part, str))
        raise McpError(tidy(said, MAX_ERROR) or "the tool failed, and does not say why")
    if result.structured_content is not None:
        structured = result.structured_content
        if wrapped and isinstance(structured, dict) and set(structured) == {"result"}:
            structured = structured["result"]
        blobs = [part for part in parts if isinstance(part, bytes)]   # its text says the same as the structure
        return [structured, *blobs] if blobs else structured
    if not parts:
        return None
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "\n".join(texts)
    return parts[0] if len(parts) == 1 else parts


def _part(block: Any) -> str | bytes:
    """Text as it is; images, sounds and files as bytes; a link as its address."""
    kind = block.type
    if kind == "text":
        return str(block.text)
    if kind in ("image", "audio"):
        return _bytes(block.data)
    if kind == "resource":
        resource = block.resource
        return _bytes(resource.blob) if hasattr(resource, "blob") else str(resource.text)
    if kind == "resource_link":
        return str(block.uri)
    return str(block)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise McpError("the server sent a blob that is not base64") from None
