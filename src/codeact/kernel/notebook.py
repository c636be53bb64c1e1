"""`from IPython.display import ...` in cells: the real one told to display through us, or a small one of ours.

IPython's own `display` only prints when no IPython shell runs. Where IPython is installed its functions are pointed at
ours after import; where it is not, a cell that imports `IPython` gets the handful of names that notebooks use.
`Repl` installs both as import hooks.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Callable, Dict, Optional

from .display import Displayer
from .guard import keep_builtins

__all__ = ["StandIn", "patch"]

keep_builtins(globals())


def patch(display: Displayer) -> Callable[[Any], None]:
    """An action for the real `IPython.display`."""
    def act(module: Any) -> None:
        places = [module, sys.modules.get("IPython.core.display_functions"), sys.modules.get("IPython.core.display")]
        for place in places:
            for name, function in _functions(display).items():
                if place is not None and hasattr(place, name):
                    setattr(place, name, function)

    return act


def _functions(display: Displayer) -> Dict[str, Any]:
    def clear_output(wait: bool = False) -> None:
        """Does nothing: what a model has been shown stays shown."""

    def publish_display_data(data: Dict[str, Any], metadata: Optional[Dict[str, Any]] = None, **_: Any) -> None:
        display(data, raw=True, metadata=metadata)

    def update_display(value: Any, *, display_id: Any, **options: Any) -> None:
        display(value, display_id=display_id, update=True, **options)

    return {"display": display, "clear_output": clear_output, "publish_display_data": publish_display_data,
            "update_display": update_display}


class StandIn:
    """The last finder on `sys.meta_path`: makes `IPython` and `IPython.display` where there are none."""

    def __init__(self, display: Displayer):
        self._display = display

    def install(self) -> None:
        sys.meta_path.append(self)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[Any]:
        if name not in ("IPython", "IPython.display"):
            return None
        from importlib.machinery import ModuleSpec

        loader: Any = self
        return ModuleSpec(name, loader, is_package=name == "IPython")   

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        names = vars(module)
        names.update(_functions(self._display), get_ipython=lambda: None)      # libraries ask it whether a shell runs
        module.__doc__ = "The part of IPython that cells use; IPython itself is not installed."
        if module.__name__ == "IPython.display":
            for cls in (HTML, Markdown, Latex, Math, SVG, JSON, Javascript, Image, Pretty, Code):
                names[cls.__name__] = cls


class _Shown:
    """Content that shows as itself.

    Args:
        data: The content, or the path of a file that holds it.
        filename: The path of a file that holds it.
    """

    _mime = "text/plain"
    _binary = False

    def __init__(self, data: Any = None, url: Optional[str] = None, filename: Optional[str] = None, **options: Any):
        if url is not None:
            raise ValueError("content cannot be fetched from a URL here")
        if filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
            data = data if self._binary else data.decode("utf-8", "replace")
        self.data, self.options = data, options

    def __repr__(self) -> str:
        return "<IPython.display.%s object>" % type(self).__name__

    def _repr_mimebundle_(self, **_: Any) -> Dict[str, Any]:
        return {self._mime: self.data}


class HTML(_Shown):
    _mime = "text/html"


class Markdown(_Shown):
    _mime = "text/markdown"


class Latex(_Shown):
    _mime = "text/latex"


class Math(_Shown):
    _mime = "text/latex"

    def _repr_mimebundle_(self, **_: Any) -> Dict[str, Any]:
        return {self._mime: "$\\displaystyle %s$" % str(self.data).strip("$")}


class SVG(_Shown):
    _mime = "image/svg+xml"


class JSON(_Shown):
    _mime = "application/json"


class Javascript(_Shown):
    _mime = "application/javascript"


class Pretty(_Shown):
    pass


class Code(_Shown):
    pass


class Image(_Shown):
    """PNG, JPEG or GIF, as bytes or from a file."""

    _binary = True

    def __init__(self, data: Any = None, url: Optional[str] = None, filename: Optional[str] = None, **options: Any):
        if isinstance(data, str) and filename is None:
            data, filename = None, data
        super().__init__(data, url, filename, **options)

    def _repr_mimebundle_(self, **_: Any) -> Dict[str, Any]:
        starts = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif"}
        mime = next((mime for start, mime in starts.items() if bytes(self.data).startswith(start)), "image/png")
        return {mime: self.data}
