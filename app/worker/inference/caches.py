"""What was computed for queries and candidates, kept for those that come again."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache

from app.worker.inference.model import PrefixState, QueryKey, VisualFeatures
from app.worker.metrics import FEATURE_CACHE
from models.contracts.intent import ComposedIntent


@dataclass
class QueryState:
    """A query's prefix and what was made of it.

    Attributes:
        prefix: Instruction, reference and text, without a target.
        intent: What was composed; None: nothing yet, or nothing readable.
        unreadable: Whether composing gave an answer that is no intent. Generation is
            deterministic, so it is not tried again.
        targeted: The last target in words, and the prefix that ends in it.
    """

    prefix: PrefixState
    intent: ComposedIntent | None = None
    unreadable: bool = False
    targeted: tuple[str, PrefixState] | None = None


class PrefixCache:
    """Keeps the `size` most recently used queries, none longer than `ttl_s` without use.

    Used by the device's thread alone, so it needs no lock. Written by hand: cachetools counts a
    time to live from insertion, and cannot say when the next entry is due.
    """

    def __init__(
        self, size: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[QueryKey, tuple[float, QueryState]] = OrderedDict()

    def get(self, key: QueryKey) -> QueryState | None:
        """The state of a query, if it is still here; using it keeps it longer."""
        self.drop_expired()
        if key not in self._kept:
            return None
        _, state = self._kept.pop(key)
        self._kept[key] = (self._clock(), state)
        return state

    def put(self, key: QueryKey, state: QueryState) -> None:
        """Keep a query's state, dropping the least recently used."""
        self._kept[key] = (self._clock(), state)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop_expired(self) -> float | None:
        """Drop what was not used for `ttl_s`; returns seconds until the next is due, if any."""
        while self._kept:
            used_at, _ = next(iter(self._kept.values()))
            left_s = used_at + self._ttl_s - self._clock()
            if left_s > 0:
                return left_s
            self._kept.popitem(last=False)
        return None


class ImageFeatureCache:
    """Keeps at most `max_bytes` of visual features, the most recently used. For any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._kept: LRUCache[Hashable, VisualFeatures] = LRUCache(
            max_bytes, getsizeof=lambda features: features.nbytes
        )
        self._lock = Lock()

    def get(self, copy_key: Hashable) -> VisualFeatures | None:
        """The features of an image, if they are still here."""
        with self._lock:
            found: VisualFeatures | None = self._kept.get(copy_key)
        FEATURE_CACHE.labels("miss" if found is None else "hit").inc()
        return found

    def put(self, copy_key: Hashable, features: VisualFeatures) -> None:
        """Keep features, dropping the least recently used until there is room.

        Features larger than the cache are not kept, and nothing is dropped for them.
        """
        if features.nbytes <= self._kept.maxsize:
            with self._lock:
                self._kept[copy_key] = features
