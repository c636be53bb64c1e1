"""A value as a bundle: MIME type -> text or bytes; and `display()`, which sends bundles while a cell runs.

`Repl` makes the bundle of a cell's last value with it. Objects say how they look with the hooks that libraries wrote
for IPython (`_repr_html_` and its kin, `_repr_mimebundle_`); `text/plain` is laid out by `pretty`. A rich form that
fails is left out and reported on stderr, the others stay.

What comes out is the user's data and may be anything; it is only limited in size here.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Iterable, Optional, Union

from . import figures
from .guard import keep_builtins
from .pretty import pretty

__all__ = ["Bundle", "DisplayHandle", "Displayer", "bundle"]

keep_builtins(globals())

Bundle = Dict[str, Union[str, bytes]]
Emit = Callable[[str, Dict[str, Any], Dict[str, Any]], None]

MAX_BYTES = 32 << 20
"""Of one form of one value; a larger one is left out."""

_HOOKS = (
    ("_repr_html_", "text/html"), ("_repr_markdown_", "text/markdown"), ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"), ("_repr_jpeg_", "image/jpeg"), ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"), ("_repr_javascript_", "application/javascript"),
    ("_repr_pdf_", "application/pdf"),
)
_PLAIN = frozenset([int, float, bool, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, type])


def bundle(value: Any) -> Bundle:
    """Every form a value has; `text/plain` is always one of them.

    Raises:
        BaseException: What the value's `__repr__` raises, if there is no other form; with another form the text says
            what it raised.
    """
    if type(value) in _PLAIN:
        return {"text/plain": pretty(value)}
    rich = _rich_forms(value)
    if "text/plain" in rich:
        return rich
    try:
        return {"text/plain": pretty(value), **rich}
    except Exception as error:
        if not rich:
            raise
        return {"text/plain": "<%s whose repr failed: %s>" % (type(value).__name__, _named(error)), **rich}


def _rich_forms(value: Any) -> Bundle:
    forms: Bundle = {}
    if isinstance(value, type):
        return forms        # the hooks are for instances
    kind = type(value)
    if figures.is_figure(value):
        forms["image/png"] = figures.figure_png(value)
        figures.close(value)
    if getattr(kind, "_repr_mimebundle_", None) is not None:
        made = _ask(value, "_repr_mimebundle_")
        if isinstance(made, tuple):
            made = made[0]
        if isinstance(made, dict):
            for mime, data in made.items():
                _keep(forms, mime, data)
    for hook, mime in _HOOKS:
        if mime not in forms and getattr(kind, hook, None) is not None:
            made = _ask(value, hook)
            if isinstance(made, tuple) and made:        # data and metadata
                made = made[0]
            _keep(forms, mime, made)
    return forms


def _ask(value: Any, hook: str) -> Any:
    """Call a hook; None if it fails."""
    try:
        return getattr(value, hook)()
    except NotImplementedError:
        return None
    except Exception as error:
        _complain("%s.%s failed: %s" % (type(value).__name__, hook, _named(error)))
        return None


def _keep(forms: Bundle, mime: Any, data: Any) -> None:
    """Add one form if it is one; a form that is neither text nor bytes becomes JSON."""
    if data is None or not isinstance(mime, str):
        return
    if isinstance(data, str) and mime.startswith("image/") and mime != "image/svg+xml":
        import base64

        try:
            data = base64.b64decode(data)
        except ValueError:
            return
    elif isinstance(data, (bytearray, memoryview)):
        data = bytes(data)
    elif not isinstance(data, (str, bytes)):
        import json

        try:
            data = json.dumps(data, default=str)
        except (TypeError, ValueError, RecursionError):
            return
    if len(data) > MAX_BYTES:
        _complain("%s of %d MB left out: at most %d MB are shown" % (mime, len(data) >> 20, MAX_BYTES >> 20))
        return
    forms[mime] = "".join((data,)) if isinstance(data, str) else bytes(data)      # plain, not of the user's classes


def _named(error: BaseException) -> str:
    from .frames import message_of

    return "%s: %s" % (type(error).__name__, message_of(error))


def _complain(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
    except Exception:       # a stream of the user's
        pass


class DisplayHandle:
    """What `display(..., display_id=...)` returns."""

    def __init__(self, displayer: "Displayer", display_id: str):
        self.display_id = display_id
        self._displayer = displayer

    def display(self, value: Any, **options: Any) -> None:
        self._displayer(value, display_id=self.display_id, **options)

    def update(self, value: Any, **options: Any) -> None:
        """Show a new value; a front end that can puts it in the old one's place."""
        self._displayer(value, display_id=self.display_id, update=True, **options)

    def __repr__(self) -> str:
        return "<DisplayHandle display_id=%s>" % self.display_id


class Displayer:
    """The `display` function of a session.

    Args:
        emit: Takes the kind "display", a bundle and its metadata.
    """

    __name__ = __qualname__ = "display"

    def __init__(self, emit: Emit):
        self._emit = emit
        self._n_handles = 0

    def __repr__(self) -> str:
        return "<function display(*values, include=None, exclude=None, display_id=None, raw=False)>"

    def __call__(self, *values: Any, include: Optional[Iterable[str]] = None, exclude: Optional[Iterable[str]] = None,
                 metadata: Optional[Dict[str, Any]] = None, display_id: Any = None, raw: bool = False,
                 update: bool = False, **_: Any) -> Optional[DisplayHandle]:
        """Show values now, each in every form it has (text, HTML, image ...).

        Args:
            include: Only these MIME types, with `text/plain`.
            raw: The values are bundles themselves: dicts from MIME type to data.
        """
        handle = None
        if display_id:
            self._n_handles += 1
            handle = DisplayHandle(self, "display-%d" % self._n_handles if display_id is True else str(display_id))
        for value in values:
            made: Bundle = {}
            if raw:
                for mime, data in dict(value).items():
                    _keep(made, mime, data)
            else:
                made = bundle(value)
            wanted = None if include is None else {"text/plain", *include}
            unwanted = set(exclude or ())
            made = {m: d for m, d in made.items() if m not in unwanted and (wanted is None or m in wanted)}
            meta: Dict[str, Any] = dict(metadata or {})
            if handle is not None:
                meta.update(display_id=handle.display_id, update=update)
            self.emit(made, meta)
        return handle

    def emit(self, made: Dict[str, Any], meta: Optional[Dict[str, Any]] = None) -> None:
        """Send one bundle, after what was printed before it."""
        flush_streams()
        self._emit("display", made, meta or {})


def flush_streams() -> None:
    """Send what is printed and not sent yet. A stream of the user's that fails is not our fault to report."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except KeyboardInterrupt:
            raise
        except BaseException:
            pass


