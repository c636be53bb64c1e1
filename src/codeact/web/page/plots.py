"""Plotly's figures, drawn in the browser: in a frame without the page's origin, by the plotly.js that NiceGUI has.

A figure is data of a cell's. It is parsed and limited here and reaches the frame as inert JSON; the frame's own policy
lets it load nothing. The library is handed in by the page (`plots.js`) once the frame is in sight, as a frame without
an origin has no cookies to ask for it.
"""

from __future__ import annotations

import html
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from nicegui import ui
from nicegui.elements import plotly

__all__ = ["MIME", "mount", "plot", "script"]

MIME = "application/vnd.plotly.v1+json"
MAX_CHARS = 5_000_000
_MAX_DEPTH = 60
_HEIGHT, _MIN_HEIGHT, _MAX_HEIGHT = 420, 120, 1200
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; worker-src blob:"
)
_LIBRARY = "/assets/plotly.js"


def mount(app: FastAPI) -> None:
    """Serve the library."""
    file = Path(plotly.__file__).parent / "dist" / "index.js"

    @app.get(_LIBRARY, include_in_schema=False)
    async def library() -> FileResponse:
        return FileResponse(file, media_type="text/javascript", headers={"Cache-Control": "private, max-age=86400"})


def script() -> str:
    """What the page does for the frames."""
    return _own("plots.js").replace("LIBRARY", _LIBRARY)


def plot(text: str, described: str) -> bool:
    """Show a figure; False, and nothing shown, if it is none or too large.

    Args:
        text: JSON.
        described: What it is called to those who do not see it, if it has no title.
    """
    figure = read(text)
    if figure is None:
        return False
    layout = figure["layout"]
    height = layout.get("height")
    height = min(max(height, _MIN_HEIGHT), _MAX_HEIGHT) if isinstance(height, (int, float)) else _HEIGHT
    title = layout.get("title")
    title = title.get("text") if isinstance(title, dict) else title
    label = f"plot: {title[:200]}" if isinstance(title, str) and title else described
    # `<` could end the script that it stands in
    data = json.dumps(figure, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    inside = (
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{_POLICY}">{_own("plot_frame.html")}'
        f'<script type="application/json" id="figure">{data}</script>'
    )
    frame = (
        f'<iframe sandbox="allow-scripts" referrerpolicy="no-referrer" title="{html.escape(label)}" '
        f'style="height: {height:.0f}px" srcdoc="{html.escape(inside)}">'
    )
    # Not cleaned, as in `outputs.framed`; all of it is escaped
    ui.html(f"{frame}</iframe>", sanitize=False).classes("framed plot")
    return True


def read(text: str) -> dict[str, Any] | None:
    """The figure in a bundle's JSON, with nothing but data, layout and frames; None if it is none that can be shown."""
    if len(text) > MAX_CHARS:
        return None
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get("data"), list):
            return None
        layout, frames = found.get("layout"), found.get("frames")
        return {
            "data": [_plain(one) for one in found["data"] if isinstance(one, dict)],
            "layout": _plain(layout) if isinstance(layout, dict) else {},
            "frames": [_plain(one) for one in frames if isinstance(one, dict)] if isinstance(frames, list) else [],
        }
    except (ValueError, RecursionError):
        return None


def _plain(value: Any, depth: int = 0) -> Any:
    """A value of which JSON can be made again, as deep as a figure is."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {key: _plain(one, depth + 1) for key, one in value.items() if key != "__proto__"}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
