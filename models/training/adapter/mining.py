"""The coarse stage in memory: what it ranks first for a query, and how alike pictures are to it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.composition.composer import Composer
from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent
from models.encoder import ImageTextEncoder
from models.manifest import ImageRow
from models.presets import Preset
from models.training.adapter.catalogue import decode_row
from models.training.adapter.synthesis import Query

_TEXTS_AT_ONCE = 256


class CoarseStage:
    """A preset's encoder and composition over one catalogue."""

    def __init__(
        self, encoder: ImageTextEncoder, preset: Preset, gallery: NDArray[np.float32]
    ) -> None:
        """`gallery`: (N, D) unit rows, the embeddings of the catalogue's pictures."""
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
        self._composer = Composer(spec, self._encode_texts, preset.composition)

    def read(self, queries: Sequence[Query]) -> None:
        """Embed all that queries say in large batches; one by one takes ten times as long."""
        said = {
            text
            for query in queries
            for text in (
                query.text, query.roles.target, *query.roles.preserve, *query.roles.desired,
                *query.roles.forbidden,
            )
        }  # fmt: skip
        unknown = sorted(said - self._texts.keys())
        for start in tqdm(range(0, len(unknown), _TEXTS_AT_ONCE), "read", unit="batch"):
            chunk = unknown[start : start + _TEXTS_AT_ONCE]
            self._texts.update(zip(chunk, self._encoder.encode_texts(chunk), strict=True))

    def search(self, query: Query, depth: int) -> list[int]:
        """The first ranks for a query that was `read`, best first; not its reference."""
        reference = self._gallery[query.reference]
        intent = ComposedIntent(**query.roles.model_dump(), source="client")
        similarity = self._gallery @ self._composer.embed(
            "intersection", reference, query.text, intent
        )
        similarity[query.reference] = -np.inf
        ranked: list[int] = np.argsort(-similarity, kind="stable")[:depth].tolist()
        return ranked

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [self._texts[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._gallery.shape[1]), dtype=np.float32)

    def similarity(self, picture: int, others: Sequence[int]) -> float:
        """The highest cosine of a picture with any of some others."""
        return float((self._gallery[list(others)] @ self._gallery[picture]).max())


def embed(encoder: ImageTextEncoder, rows: Sequence[ImageRow], kept: Path) -> NDArray[np.float32]:
    """Embed pictures, or read what an earlier run of the same encoder kept in `kept`.

    Returns:
        float32 (N, D), unit rows.
    """
    wanted = "\n".join([encoder.fingerprint, *(row.location for row in rows)])
    key = hashlib.sha256(wanted.encode()).hexdigest()
    if kept.exists():
        with np.load(kept) as saved:
            if str(saved["key"]) == key:
                known: NDArray[np.float32] = saved["rows"]
                return known
    made = []
    for start in tqdm(range(0, len(rows), encoder.batch_size), "embed", unit="batch"):
        chunk = rows[start : start + encoder.batch_size]
        made.append(encoder.encode_images([decode_row(row) for row in chunk]))
    gallery: NDArray[np.float32] = np.concatenate(made)
    np.savez(kept, rows=gallery, key=np.array(key))
    return gallery
