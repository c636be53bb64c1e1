"""Rich outputs as they travel to the host."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from . import values
from .plain import LONG_TEXT

__all__ = ["bounded", "spelled"]

MAX_BUNDLE_ITEM = 48 << 20
"""Characters or bytes of one form of one rich output; the host takes no more than 64 MiB of a cell."""


def spelled(bundle: Dict[str, Any]) -> Tuple[Any, List[bytes]]:
    """A bundle as it travels."""
    text = bundle.get("text/plain")
    if len(bundle) == 1 and type(text) is str and len(text) < LONG_TEXT:
        return bundle, []   # as most are: a short text stands for itself
    return values.pack(bounded(bundle))


def bounded(bundle: Dict[str, Any]) -> Dict[str, Any]:
    """A bundle without what is too large to travel."""
    fits = {kind: data for kind, data in bundle.items() if len(data) <= MAX_BUNDLE_ITEM}
    if "text/plain" in bundle and "text/plain" not in fits:
        fits["text/plain"] = bundle["text/plain"][:MAX_BUNDLE_ITEM // 64]
    return fits or {"text/plain": "[an output too large to show]"}
