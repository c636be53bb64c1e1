"""Show a figure inside the terminal, in the two ways that terminals announce by their environment: kitty's, iTerm2's.

Nothing is sent to a terminal that has not named itself, nothing inside tmux or screen, which would print it as text,
and nothing that makes a terminal answer: an answer would be read as typed. A figure is saved and named in any case.
`CODEACT_IMAGES` says `kitty`, `iterm2` or `none` where the environment is wrong.

What is sent of a cell's is base64 alone. The terminal decodes the picture, with whatever care it takes.
"""

import base64
import struct
from collections.abc import Mapping

__all__ = ["inline", "protocol_of"]

MAX_BYTES = 4_000_000
_CHUNK = 4096
_COLUMN_PIXELS = 9
"""Of a usual font: a figure gets so many columns that it is about its own size."""


def protocol_of(environment: Mapping[str, str]) -> str | None:
    """`kitty`, `iterm2`, or None where it is not known that the terminal can."""
    chosen = environment.get("CODEACT_IMAGES", "")
    if chosen:
        return chosen if chosen in ("kitty", "iterm2") else None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or environment.get("STY") or term.startswith(("tmux", "screen", "dumb")):
        return None
    if term in ("xterm-kitty", "xterm-ghostty") or environment.get("KITTY_WINDOW_ID") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return None


def inline(mime: str, data: bytes, environment: Mapping[str, str], columns: int) -> str:
    """What shows it, for a terminal of this environment and width; "" where it cannot be shown."""
    protocol = protocol_of(environment)
    if protocol is None or not data or len(data) > MAX_BYTES:
        return ""
    spelled = base64.b64encode(data).decode("ascii")
    width = max(1, min(_columns_of(mime, data), columns - 4))
    if protocol == "iterm2":
        if mime not in ("image/png", "image/jpeg", "image/gif"):
            return ""
        return f"\x1b]1337;File=inline=1;size={len(data)};width={width};preserveAspectRatio=1:{spelled}\x07"
    if mime != "image/png":
        return ""
    chunks = [spelled[start : start + _CHUNK] for start in range(0, len(spelled), _CHUNK)]
    # q=2: the terminal must not answer.
    heads = [f"a=T,f=100,q=2,c={width},", *[""] * (len(chunks) - 1)]
    return "".join(
        f"\x1b_G{head}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, (head, chunk) in enumerate(zip(heads, chunks, strict=True))
    )


def _columns_of(mime: str, data: bytes) -> int:
    """How many columns a figure should take; where its header is not read, a good deal."""
    if mime == "image/png" and len(data) >= 24 and data[12:16] == b"IHDR":
        width, _ = struct.unpack(">II", data[16:24])
        return int(width) // _COLUMN_PIXELS
    return 72
