"""What is embedded once, what is forgotten, and what never is."""

from collections.abc import Sequence

import numpy as np

from models.encoder.text_cache import TextEmbeddingCache


class Lengths:
    """Embeds a text as its length; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([[len(text)] for text in texts], np.float32)


def test_every_text_is_embedded_once_and_rows_follow_the_texts() -> None:
    encode = Lengths()
    cache = TextEmbeddingCache(encode, 1)
    assert cache.encode(["bb", "a", "bb"]).tolist() == [[2], [1], [2]]
    assert cache.encode(["a", "ccc"]).tolist() == [[1], [3]]
    assert cache.encode([]).shape == (0, 1)
    assert encode.asked == [["bb", "a"], ["ccc"]]
    assert cache.unknown(["a", "dd", "dd"]) == ["dd"]
    assert cache.known["ccc"].tolist() == [3]


def test_what_was_not_asked_for_longest_is_forgotten_unless_it_is_kept() -> None:
    cache = TextEmbeddingCache(Lengths(), 1, max_texts=2)
    cache.encode(["kept", "also kept"])
    cache.keep(["kept", "also kept", "never embedded"])
    for text in ("a", "b", "c"):
        cache.encode([text])
    assert cache.unknown(["kept", "also kept", "a", "b", "c"]) == ["a"]
    cache.keep([])
    cache.encode(["d"])
    assert len(cache.known) == 2
    assert "d" in cache.known


def test_a_batch_larger_than_the_cache_is_whole() -> None:
    texts = ["x" * n for n in range(1, 10)]
    cache = TextEmbeddingCache(Lengths(), 1, max_texts=3)
    assert cache.encode(texts).tolist() == [[n] for n in range(1, 10)]
    assert len(cache.known) == 3
