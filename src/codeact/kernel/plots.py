"""Plotly's figures, shown as data: a bundle that a page draws, with no script from elsewhere and no browser opened.

Outside a notebook plotly would open a browser at `fig.show()`, and make of a cell's last value HTML which loads its
library from the net. `Repl` installs `patch` as an import hook. A renderer that the user names, or sets as the default,
is plotly's own as ever.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Optional

from .display import Displayer
from .guard import keep_builtins

__all__ = ["patch"]

keep_builtins(globals())

_MIMETYPE = "plotly_mimetype"


def patch(display: Displayer) -> Callable[[Any], None]:
    """An action for `plotly.io`."""

    def action(module: Any) -> None:
        shown = module.show
        if not os.environ.get("PLOTLY_RENDERER"):
            module.renderers.default = _MIMETYPE

        def show(fig: Any, renderer: Optional[str] = None, *words: Any, **options: Any) -> None:
            if (renderer or module.renderers.default) == _MIMETYPE:
                display(fig if hasattr(fig, "_repr_mimebundle_") else _figure(fig))
            else:
                shown(fig, renderer, *words, **options)

        show.__doc__ = shown.__doc__
        module.show = show

    return action


def _figure(fig: Any) -> Any:
    """Of a figure that is a plain dict."""
    import importlib

    return importlib.import_module("plotly.graph_objects").Figure(fig)
