"""Messages and native tools as the Chat Completions API wants them spelled."""

import base64
from collections.abc import Iterator
from typing import Any

from codeact.messages import Image, Message
from codeact.protocols import NativeTool

__all__ = ["described", "spelled"]


def spelled(message: Message) -> Iterator[dict[str, Any]]:
    """A message as the API wants it: one, or two where pictures belong to an answer to a call."""
    pictures = [{"type": "image_url", "image_url": {"url": _data_url(one)}} for one in message.images]
    if message.call_id:
        yield {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
        if pictures:
            yield {"role": "user", "content": pictures}
        return
    content: Any = message.content
    if pictures:
        content = [{"type": "text", "text": message.content}, *pictures]
    plain: dict[str, Any] = {"role": message.role, "content": content}
    if message.calls:
        plain["content"] = message.content or None
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    yield plain


def described(tool: NativeTool) -> dict[str, Any]:
    """A tool for the request."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _data_url(image: Image) -> str:
    return f"data:{image.mime};base64,{base64.b64encode(image.data).decode('ascii')}"
