"""`web_fetch`: read a page of the public web. Only GET, only http and https, only public addresses.

Not protected against: what a page says to the model; and a model that spells what it knows into an address, which
whoever owns the host then reads. Do not give it to sessions that hold secrets.
"""

from __future__ import annotations

import re
from typing import Any

from codeact.tools.builtin._http import Reach, Response, WebError, request
from codeact.tools.builtin._readable import readable
from codeact.tools.tool import Tool

__all__ = ["create"]

MAX_BYTES = 4 << 20
MAX_CHARS = 200_000
SECONDS = 30.0

_TEXT = re.compile(r"text/|application/([\w.+-]*\+)?(json|xml|javascript|yaml|toml|x-ndjson)$")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


def create(*, reach: Reach | None = None) -> Tool[..., Any]:
    """The tool, for `plugins`.

    Args:
        reach: Which addresses may be reached; every public one, else.
    """

    def web_fetch(url: str, max_chars: int = 40_000) -> dict[str, Any]:
        """Read a web page: HTML comes as Markdown, other text as it is.

        Returns {"url": after redirects, "title": str, "text": str, "truncated": whether there was more, "type": of the
        content}. Raises an error for pages that cannot be had, are not text, or answer with a failure.
        """
        response = request(url, headers={"Accept": "text/html, text/*;q=0.9, */*;q=0.5"}, max_bytes=MAX_BYTES,
                           seconds=SECONDS, reach=reach)
        if response.status >= 400:
            raise WebError(f"{response.url} answers {response.status} {response.reason[:100]}")
        return _page(response, max(1, min(max_chars, MAX_CHARS)))

    return Tool(web_fetch)


def _page(response: Response, max_chars: int) -> dict[str, Any]:
    said = response.headers.get("content-type", "")
    kind = said.partition(";")[0].strip().lower()
    if (kind and not _TEXT.match(kind)) or (not kind and b"\0" in response.body[:1024]):
        raise WebError(f"{response.url} is {kind or 'binary'}, and only text can be read")
    text = _decoded(response.body, said)
    title, cut = "", False
    if "html" in kind or (not kind and text.lstrip()[:15].lower().startswith(("<!doctype html", "<html"))):
        title, text, cut = readable(text, response.url)
    truncated = response.truncated or cut or len(text) > max_chars
    return {"url": response.url, "title": title[:500], "text": text[:max_chars], "truncated": truncated, "type": kind}


def _decoded(body: bytes, said: str) -> str:
    """Text in the encoding that the header names, or the page, or UTF-8."""
    named = re.search(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", said, re.IGNORECASE)
    found = _META.search(body[:4096])
    encoding = named[1] if named else found[1].decode("ascii") if found else "utf-8"
    try:
        return body.decode(encoding, "replace")
    except (LookupError, ValueError):   # no such encoding, or none of text
        return body.decode("utf-8", "replace")
