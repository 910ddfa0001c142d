"""The coarse stage in memory: a preset's encoder and composition over one catalogue's pictures.

Finds what a gallery would rank first for a query, which is where hard negatives come from. Knows
neither which answers are right nor what is trained.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from models.contracts.gallery import GallerySpec
from models.contracts.intent import Intent
from models.encoder.encoder import ImageTextEncoder
from models.presets import Preset
from models.query.composition import Composer
from models.query.text_requests import answer

_TEXTS_AT_ONCE = 256


class InMemoryRetriever:
    """Exhaustive search by composed queries."""

    def __init__(
        self, encoder: ImageTextEncoder, preset: Preset, gallery: NDArray[np.float32]
    ) -> None:
        """Prepare.

        Args:
            encoder: The preset's.
            preset: Whose composition weights count.
            gallery: (N, D) unit rows, the embeddings of the catalogue's pictures.
        """
        spec = GallerySpec(
            encoder_fingerprint=encoder.fingerprint,
            embedding_dim=encoder.embedding_dim,
            preset="for training",
            rerank_px=preset.rerank_px,
            thumbnail_px=preset.rerank_px,
            built_at="for training",
        )
        self._encoder, self._gallery = encoder, gallery
        self._texts: dict[str, NDArray[np.float32]] = {}
        self._composer = Composer(spec, preset.composition, preset.understood)

    def embed_texts(self, queries: Iterable[tuple[str, Intent]]) -> None:
        """Embed all that queries say in large batches; one by one takes ten times as long.

        Args:
            queries: Modification text and intent of each.
        """
        said = {
            phrase
            for text, intent in queries
            for phrase in (
                text, intent.target, *intent.preserve, *intent.desired, *intent.forbidden
            )
        }  # fmt: skip
        unknown = sorted(said - self._texts.keys())
        for start in tqdm(range(0, len(unknown), _TEXTS_AT_ONCE), "texts", unit="batch"):
            chunk = unknown[start : start + _TEXTS_AT_ONCE]
            self._texts.update(zip(chunk, self._encoder.encode_texts(chunk), strict=True))

    def search(self, reference: int, text: str, intent: Intent, depth: int) -> list[int]:
        """The first `depth` ranks for a query whose texts are embedded, best first; its reference
        may be among them.
        """
        row = self._gallery[reference]
        composing = self._composer.compose("intersection", row, text, intent)
        rows = answer(composing, self._encode_texts).embeddings
        similarity = (self._gallery @ rows.T).max(axis=1)
        ranked: list[int] = np.argsort(-similarity, kind="stable")[:depth].tolist()
        return ranked

    def similarity(self, picture: int, others: Sequence[int]) -> float:
        """The highest cosine of a picture with any of some others."""
        return float((self._gallery[list(others)] @ self._gallery[picture]).max())

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [self._texts[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._gallery.shape[1]), dtype=np.float32)


def embed(
    encoder: ImageTextEncoder, count: int, decode: Callable[[int], Image.Image]
) -> NDArray[np.float32]:
    """Embed pictures.

    Args:
        encoder: Embeds them.
        count: How many pictures there are, N.
        decode: Number of a picture → RGB.

    Returns:
        float32 (N, D), unit rows.
    """
    made = []
    for start in tqdm(range(0, count, encoder.batch_size), "embed", unit="batch"):
        chunk = range(start, min(start + encoder.batch_size, count))
        made.append(encoder.encode_images([decode(number) for number in chunk]))
    gallery: NDArray[np.float32] = np.concatenate(made)
    return gallery


def embed_once(
    encoder: ImageTextEncoder,
    locations: Sequence[str],
    decode: Callable[[int], Image.Image],
    kept: Path,
) -> NDArray[np.float32]:
    """As `embed`, or read from `kept` what an earlier run of the same encoder and locations left.

    Args:
        encoder: Embeds them.
        locations: Of the pictures, N.
        decode: Number of a picture → RGB.
        kept: The file (.npz).
    """
    key = hashlib.sha256("\n".join([encoder.fingerprint, *locations]).encode()).hexdigest()
    if kept.exists():
        with np.load(kept) as saved:
            if str(saved["key"]) == key:
                known: NDArray[np.float32] = saved["rows"]
                return known
    gallery = embed(encoder, len(locations), decode)
    np.savez(kept, rows=gallery, key=np.array(key))
    return gallery
