"""`web_search`: look for pages through Brave, Tavily or Serper, with the user's key from the environment.

    web_search            the first provider whose key is there
    web_search:tavily     this one

The key stays on the host: it is sent to its provider alone, and is in no message, event or result.

Source: api.search.brave.com, docs.tavily.com and serper.dev, as of 2026.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from codeact.errors import ConfigError
from codeact.tools.builtin._http import Reach, WebError, request
from codeact.tools.tool import Tool

__all__ = ["create"]

MAX_RESULTS = 20
MAX_BYTES = 2 << 20
SECONDS = 20.0


@dataclass(frozen=True)
class _Provider:
    keys: tuple[str, ...]
    """Environment variables that may hold its key."""
    url: str
    headers: Callable[[str], dict[str, str]]
    query: Callable[[str, int], dict[str, Any]]
    posts: bool
    results: tuple[str, ...]
    """The way to the list of results."""
    link: str
    snippet: str


PROVIDERS = {
    "brave": _Provider(("BRAVE_API_KEY", "BRAVE_SEARCH_API_KEY"), "https://api.search.brave.com/res/v1/web/search",
                       lambda key: {"X-Subscription-Token": key}, lambda query, n: {"q": query, "count": n},
                       False, ("web", "results"), "url", "description"),
    "tavily": _Provider(("TAVILY_API_KEY",), "https://api.tavily.com/search",
                        lambda key: {"Authorization": f"Bearer {key}"},
                        lambda query, n: {"query": query, "max_results": n}, True, ("results",), "url", "content"),
    "serper": _Provider(("SERPER_API_KEY",), "https://google.serper.dev/search",
                        lambda key: {"X-API-KEY": key}, lambda query, n: {"q": query, "num": n},
                        True, ("organic",), "link", "snippet"),
}


def create(
    name: str = "", *, api_key: str | None = None, reach: Reach | None = None, url: str | None = None
) -> Tool[..., Any]:
    """The tool, for `plugins`.

    Args:
        name: Of the provider; the first whose key is there, else.
        api_key: Of the provider that is named; else its variable in the environment.
        reach, url: Where the provider is, if not at its own address.

    Raises:
        ConfigError: There is no such provider, or no key.
    """
    if name and name not in PROVIDERS:
        raise ConfigError(f"there is no search provider {name!r}; there are: {', '.join(PROVIDERS)}")
    if api_key and not name:
        raise ConfigError(f"whose key is that? name the provider: web_search:NAME, of {', '.join(PROVIDERS)}")
    chosen = [PROVIDERS[name]] if name else list(PROVIDERS.values())
    found = [(one, os.environ[key]) for one in chosen for key in one.keys if os.environ.get(key)]
    if api_key:
        found = [(chosen[0], api_key)]
    if not found:
        names = ", ".join(key for one in chosen for key in one.keys)
        raise ConfigError(f"web_search needs the key of a search provider: set one of {names}")
    provider, key = found[0]

    def web_search(query: str, max_results: int = 5) -> list[dict[str, str]]:
        """Search the web.

        Returns up to `max_results` (at most 20) of {"title": str, "url": str, "snippet": str}, the best first.
        """
        return _search(provider, key, query, max(1, min(max_results, MAX_RESULTS)), url or provider.url, reach)

    return Tool(web_search)


def _search(provider: _Provider, key: str, query: str, n: int, url: str, reach: Reach | None) -> list[dict[str, str]]:
    asked = provider.query(query, n)
    headers = {"Accept": "application/json", **provider.headers(key)}
    if provider.posts:
        headers["Content-Type"] = "application/json"
        response = request(url, method="POST", headers=headers, body=json.dumps(asked).encode(), max_bytes=MAX_BYTES,
                           seconds=SECONDS, redirects=0, reach=reach)
    else:
        response = request(f"{url}?{urlencode(asked)}", headers=headers, max_bytes=MAX_BYTES, seconds=SECONDS,
                           redirects=0, reach=reach)
    if response.status in (401, 403):
        raise WebError(f"the search provider refuses the key ({response.status})")
    if response.status >= 400:
        raise WebError(f"the search provider answers {response.status} {response.reason[:100]}")
    try:
        found: Any = json.loads(response.body)
        *way, last = provider.results
        for step in way:
            found = found.get(step) or {}
        rows = [row for row in found.get(last) or [] if isinstance(row, dict)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise WebError("the search provider answers with something that is no list of results") from None
    return [{"title": str(row.get("title", ""))[:500], "url": str(row.get(provider.link, ""))[:2000],
             "snippet": str(row.get(provider.snippet, ""))[:2000]} for row in rows[:n]]
