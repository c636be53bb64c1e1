"""How many requests one user, or one address without a login, may make in a second, and have answered at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from codeact.server.faults import Fault

__all__ = ["Bucket", "Rates"]

_PER_SECOND, _BURST = 50.0, 500.0
_AT_ONCE = 128
"""Requests of one user's that are being answered, streams of events among them."""
_MAX_KNOWN = 10_000


@dataclass
class Bucket:
    """What one of them has left."""

    left: float = _BURST
    at: float = field(default_factory=time.monotonic)
    at_once: int = 0
    """Counted by who answers."""


class Rates:
    """Of all who come."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def check(self, who: str) -> Bucket:
        """Count a request.

        Raises:
            Fault: There are too many.
        """
        now = time.monotonic()
        if len(self._buckets) > _MAX_KNOWN:
            self._buckets = {name: one for name, one in self._buckets.items() if one.at_once}
        bucket = self._buckets.setdefault(who, Bucket())
        bucket.left = min(_BURST, bucket.left + (now - bucket.at) * _PER_SECOND)
        bucket.at = now
        if bucket.left < 1:
            raise Fault(429, "too_many_requests", "too many requests; wait a moment")
        if bucket.at_once >= _AT_ONCE:
            raise Fault(429, "too_many_requests", f"{_AT_ONCE} requests are being answered; wait until some are")
        bucket.left -= 1
        return bucket
