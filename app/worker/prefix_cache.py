"""What was computed for a query, kept briefly: a compose and the rerank after it share the work.

Used by the device's thread alone, so it needs no lock.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.worker.ports import Prefix
from models.contracts.intent import ComposedIntent

QueryKey = tuple[str, str]
"""SHA-256 of the reference's bytes, and the modification text."""


@dataclass
class OpenedQuery:
    """A query's prefix and what was made of it.

    Attributes:
        targeted: The last wished-for picture in words, and the prefix that ends in it.
    """

    prefix: Prefix
    intent: ComposedIntent | None = None
    targeted: tuple[str, Prefix] | None = None


class PrefixCache:
    """Keeps the `size` most recently used queries, none longer than `ttl_s` without use."""

    def __init__(
        self, size: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[QueryKey, tuple[float, OpenedQuery]] = OrderedDict()

    def get(self, key: QueryKey) -> OpenedQuery | None:
        """The opened query, if it is still here; using it keeps it longer."""
        self.drop_expired()
        if key not in self._kept:
            return None
        _, opened = self._kept.pop(key)
        self._kept[key] = (self._clock(), opened)
        return opened

    def put(self, key: QueryKey, opened: OpenedQuery) -> None:
        """Keep an opened query, letting go of the least recently used."""
        self._kept[key] = (self._clock(), opened)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop_expired(self) -> float | None:
        """Let go of what was not used in time; returns seconds until the next is due, if any."""
        while self._kept:
            used_at, _ = next(iter(self._kept.values()))
            left_s = used_at + self._ttl_s - self._clock()
            if left_s > 0:
                return left_s
            self._kept.popitem(last=False)
        return None
