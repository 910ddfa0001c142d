"""What was computed for a query, kept briefly: a compose and the rerank after it share the work.

Used by the device's thread alone, so it needs no lock.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

from app.worker.inference.model import Prefix, QueryKey, VisualFeatures
from app.worker.metrics import FEATURE_CACHE_HITS, FEATURE_CACHE_MISSES
from models.contracts.intent import ComposedIntent

"""SHA-256 of the reference's bytes, and the modification text."""


@dataclass
class QueryState:
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
        self._kept: OrderedDict[QueryKey, tuple[float, QueryState]] = OrderedDict()

    def get(self, key: QueryKey) -> QueryState | None:
        """The opened query, if it is still here; using it keeps it longer."""
        self.drop_expired()
        if key not in self._kept:
            return None
        _, opened = self._kept.pop(key)
        self._kept[key] = (self._clock(), opened)
        return opened

    def put(self, key: QueryKey, opened: QueryState) -> None:
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


class ImageFeatureCache:
    """Keeps at most `max_bytes` of visual features."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, VisualFeatures] = OrderedDict()
        self._lock = Lock()

    def get(self, copy_key: Hashable) -> VisualFeatures | None:
        """The features of a picture, if they are still here."""
        with self._lock:
            found = self._kept.get(copy_key)
            if found is not None:
                self._kept.move_to_end(copy_key)
        (FEATURE_CACHE_MISSES if found is None else FEATURE_CACHE_HITS).inc()
        return found

    def put(self, copy_key: Hashable, features: VisualFeatures) -> None:
        """Keep features, letting go of the least recently used until there is room.

        Features that are larger than all there is are not kept, and nothing goes for them.
        """
        if features.nbytes > self._max_bytes:
            return
        with self._lock:
            replaced = self._kept.pop(copy_key, None)
            self._bytes += features.nbytes - (replaced.nbytes if replaced else 0)
            self._kept[copy_key] = features
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
