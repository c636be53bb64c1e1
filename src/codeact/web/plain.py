"""Pages without the framework, and without any script: to log in, for who is not let in, and where there is nothing.

They look as the others do, light and dark. They must work where nothing else may be fetched yet: all is in the page.
"""

from __future__ import annotations

import html

from fastapi.responses import HTMLResponse, Response

__all__ = ["POLICY", "field", "nothing", "plain", "stranger"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""The content security policy of such a page."""

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d1d1f; --aside: #5f6368; --line: #8886; --blue: #1a5fb4; --on-blue: #fff; --red: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --back: #121212; --text: #eee; --aside: #b4b8bd; --blue: #8ab4f8; --on-blue: #10131a; --red: #f2b8b5; } }
* { box-sizing: border-box; }
body { font: 16px/1.6 system-ui, sans-serif; background: var(--back); color: var(--text); margin: 0; padding: 12vh 1rem 2rem; }
main { max-width: 22rem; margin: 0 auto; }
h1 { font-size: 1.5rem; font-weight: 400; margin: 0 0 .3rem; }
p { margin: 0 0 1.2rem; color: var(--aside); font-size: .9rem; }
p[role=alert] { color: var(--red); background: color-mix(in srgb, var(--red) 6%, transparent); border-left: 3px solid var(--red); border-radius: .3rem; padding: .5rem .8rem; }
a { color: var(--blue); text-underline-offset: .15em; }
label { display: block; font-size: .85rem; color: var(--aside); margin: 0 0 1rem; }
input { display: block; width: 100%; font: inherit; font-size: 1rem; color: var(--text); background: transparent; border: 1px solid var(--line); border-radius: 4px; padding: .55rem .75rem; margin-top: .2rem; }
input:focus { outline: 2px solid var(--blue); outline-offset: -1px; border-color: transparent; }
button { font: inherit; font-weight: 500; color: var(--on-blue); background: var(--blue); border: 0; border-radius: 4px; padding: .5rem 1.1rem; cursor: pointer; }
button:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
"""  # noqa: E501 (a rule a line)


def plain(title: str, body: str) -> str:
    """A page; `body` is HTML."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} - codeact</title><style>{_STYLE}</style><main>{body}</main></html>"
    )


def stranger(*, wants_token: bool, is_wrong: bool) -> str:
    """The page for who is not let in: without the token, with a wrong one, or past the proxy that says who they are."""
    if not wants_token:
        words = "This server is reached through a proxy, which says who you are; it did not."
        return plain("Not let in", f"<h1>Who are you?</h1><p role=alert>{words}</p>")
    said = "<p>This page is opened with the token of its server.</p>"
    if is_wrong:
        said = "<p role=alert>This token is not, or no longer, the server's.</p>"
    return plain(
        "The token",
        f"<h1>The token, please</h1>{said}<p>It stands at the end of the address that was printed when the server "
        "started; each start makes another, unless --token-file keeps it.</p><form>"
        + field("Token", "token", 'type="password" autocomplete="off" autofocus')
        + "<button>Go on</button></form>",
    )


def nothing(words: str) -> Response:
    """The answer where there is nothing to be seen."""
    body = f'<h1>Not here</h1><p>{html.escape(words)}</p><p><a href="/">To your conversations</a></p>'
    return HTMLResponse(plain("Not here", body), 404, {"content-security-policy": POLICY})


def field(label: str, name: str, more: str) -> str:
    """A field of a form under its label; `more` are further attributes of it."""
    return f'<label>{html.escape(label)}<input name="{name}" {more} required></label>'
