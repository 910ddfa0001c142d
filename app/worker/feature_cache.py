"""Visual features of recent candidates, least recently used first out.

One cache belongs to one judge, so a picture's content hash alone is the key. Any thread may ask.
"""

from collections import OrderedDict
from threading import Lock

from app.worker.metrics import FEATURE_CACHE_HITS, FEATURE_CACHE_MISSES
from app.worker.ports import VisualFeatures


class FeatureCache:
    """Keeps at most `max_bytes` of visual features."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, VisualFeatures] = OrderedDict()
        self._lock = Lock()

    def get(self, content_hash: str) -> VisualFeatures | None:
        """The features of a picture, if they are still here."""
        with self._lock:
            found = self._kept.get(content_hash)
            if found is not None:
                self._kept.move_to_end(content_hash)
        (FEATURE_CACHE_MISSES if found is None else FEATURE_CACHE_HITS).inc()
        return found

    def put(self, content_hash: str, features: VisualFeatures) -> None:
        """Keep features, letting go of the least recently used until there is room."""
        with self._lock:
            replaced = self._kept.pop(content_hash, None)
            self._bytes += features.nbytes - (replaced.nbytes if replaced else 0)
            self._kept[content_hash] = features
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
