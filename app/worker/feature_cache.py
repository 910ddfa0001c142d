"""Visual features of recent candidates, least recently used first out.

One cache belongs to one judge, so what names a copy is the whole key. Any thread may ask.
"""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from app.worker.metrics import FEATURE_CACHE_HITS, FEATURE_CACHE_MISSES
from app.worker.ports import VisualFeatures


class FeatureCache:
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
