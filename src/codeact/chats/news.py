"""Who waits for something to happen in a conversation, and is told once it is stored."""

import logging
import threading
from collections.abc import Callable

__all__ = ["News"]

_log = logging.getLogger(__name__)


class News:
    """Tells watchers, and wakes those who wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watchers: list[Callable[[str], object]] = []
        self._n_told = 0

    @property
    def n_told(self) -> int:
        """How often something was told: for `wait`, counted before one looks, so that nothing is missed between."""
        with self._changed:
            return self._n_told

    def tell(self, key: str = "") -> None:
        """Something of a conversation was stored; "" is of any."""
        with self._changed:
            self._n_told += 1
            self._changed.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            try:
                watcher(key)
            except Exception as error:   # who watches must not end what is watched
                _log.warning("a watcher of conversations failed: %s", error)

    def wait(self, n_told: int, seconds: float) -> None:
        """Wait until more than so much was told, or the time is up."""
        with self._changed:
            if self._n_told == n_told:
                self._changed.wait(seconds)

    def watch(self, watcher: Callable[[str], object]) -> Callable[[], None]:
        """Have somebody called with each key, in the thread that tells; gives what ends it."""
        with self._changed:
            self._watchers.append(watcher)

        def end() -> None:
            with self._changed:
                self._watchers.remove(watcher)

        return end
