"""matplotlib's figures, shown without the cell asking: at `plt.show()`, and those still open when the cell ends.

`Repl` installs `patch_pyplot` as an import hook and calls `show_open` after each cell. Works with any backend that
draws into memory, Agg above all; figures are closed once shown, as in a notebook.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Callable, Dict, Optional

from .guard import keep_builtins

__all__ = ["close", "figure_png", "is_figure", "patch_pyplot", "show_open"]

keep_builtins(globals())

Emit = Callable[[Dict[str, Any]], None]
MAX_PIXELS = 50_000_000
"""Of a figure. A mistaken `figsize` in pixels would otherwise fill the memory."""


def is_figure(value: Any) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, getattr(module, "Figure", ()))


def figure_png(figure: Any) -> bytes:
    """Draw a figure.

    Raises:
        ValueError: It is larger than `MAX_PIXELS`, or matplotlib cannot draw it.
    """
    width, height = figure.get_size_inches() * figure.dpi
    if width * height > MAX_PIXELS:
        raise ValueError("a figure of %d x %d pixels is too large to show; figsize is in inches" % (width, height))
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight")
    return out.getvalue()


def show_open(emit: Emit) -> None:
    """Emit and close all open figures, in the order of their numbers.

    Raises:
        BaseException: Drawing one failed; all are closed none the less.
    """
    gcf = _managers()
    if gcf is None or not gcf.figs:
        return
    try:
        for number in sorted(gcf.figs):
            figure = gcf.figs[number].canvas.figure
            if _has_content(figure):
                emit({"text/plain": repr(figure), "image/png": figure_png(figure)})
    finally:
        sys.modules["matplotlib.pyplot"].close("all")


def close(figure: Any) -> None:
    """A figure that has been shown as a value is not shown again when the cell ends."""
    if _managers() is not None:
        sys.modules["matplotlib.pyplot"].close(figure)


def patch_pyplot(emit: Emit) -> Callable[[Any], None]:
    """An action that makes `plt.show()` and `figure.show()` emit."""
    def patch(pyplot: Any) -> None:
        def show(*args: Any, **kwargs: Any) -> None:
            """Show all open figures, here and now, and close them."""
            show_open(emit)

        def show_figure(self: Any, warn: bool = True) -> None:
            """Show this figure, here and now, and close it."""
            emit({"text/plain": repr(self), "image/png": figure_png(self)})
            close(self)

        pyplot.show = show
        pyplot.Figure.show = show_figure

    return patch


def _managers() -> Optional[Any]:
    if "matplotlib.pyplot" not in sys.modules:
        return None
    return getattr(sys.modules.get("matplotlib._pylab_helpers"), "Gcf", None)


def _has_content(figure: Any) -> bool:
    """Whether anything was drawn: a figure that was only opened is not worth an image."""
    return any(getattr(figure, name, None) for name in ("axes", "lines", "texts", "images", "patches", "subfigs",
                                                        "legends", "artists"))
