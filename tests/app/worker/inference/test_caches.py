"""What is kept of queries and candidates, and for how long."""

import pytest

from app.worker.inference.caches import ImageFeatureCache, PrefixCache, QueryState
from tests.app.worker.fake_reranker import FakeImage, FakePrefix


def test_features_are_kept_up_to_a_size_the_oldest_out_first() -> None:
    cache = ImageFeatureCache(max_bytes=250)  # two of a hundred bytes
    first, second, third = (FakeImage(red) for red in (1, 2, 3))
    cache.put("first", first)
    cache.put("second", second)
    assert cache.get("first") is first
    cache.put("third", third)
    assert cache.get("second") is None
    assert cache.get("first") is first
    cache.put("third", third)  # the same again takes no more room
    assert cache.get("first") is first
    cache.put("huge", FakeImage(4, nbytes=251))  # would push out all others, and itself
    assert cache.get("huge") is None
    assert cache.get("first") is first
    assert cache.get("third") is third


@pytest.mark.parametrize(("size", "kept"), [(0, set()), (2, {"b", "c"}), (9, {"a", "b", "c"})])
def test_prefixes_are_kept_up_to_a_number(size: int, kept: set[str]) -> None:
    cache = PrefixCache(size, ttl_s=10, clock=lambda: 0.0)
    for text in "abc":
        cache.put(("hash", text), QueryState(FakePrefix(text)))
    assert {text for text in "abc" if cache.get(("hash", text))} == kept


def test_a_prefix_not_used_for_long_is_dropped() -> None:
    now = 0.0
    cache = PrefixCache(9, ttl_s=10, clock=lambda: now)
    cache.put(("hash", "used"), QueryState(FakePrefix("used")))
    cache.put(("hash", "idle"), QueryState(FakePrefix("idle")))
    now = 6.0
    assert cache.get(("hash", "used"))
    assert cache.drop_expired() == 4.0
    now = 11.0
    assert cache.drop_expired() == 5.0
    assert cache.get(("hash", "idle")) is None
    assert cache.get(("hash", "used"))
