"""The coarse stage in memory: what it ranks first for a query, and how alike pictures are to it."""

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


class CoarseStage:
    """A preset's encoder and composition over one catalogue."""

    def __init__(
        self, encoder: ImageTextEncoder, preset: Preset, gallery: NDArray[np.float32]
    ) -> None:
        """`gallery`: (N, D) unit rows, the embeddings of the catalogue's pictures."""
        spec = GallerySpec(
            encoder_fingerprint=encoder.fingerprint,
            embedding_dim=encoder.embedding_dim,
            built_at="for training",
        )
        self._composer = Composer(spec, encoder.encode_texts, preset.composition)
        self._gallery = gallery

    def search(self, query: Query, depth: int) -> list[int]:
        """The first ranks for a query whose roles are known, best first; not its reference."""
        reference = self._gallery[query.reference]
        intent = ComposedIntent(**query.roles.model_dump(), source="client")
        similarity = self._gallery @ self._composer.embed(
            "intersection", reference, query.text, intent
        )
        similarity[query.reference] = -np.inf
        ranked: list[int] = np.argsort(-similarity, kind="stable")[:depth].tolist()
        return ranked

    def similarity(self, picture: int, others: Sequence[int]) -> float:
        """The highest cosine of a picture with any of some others."""
        return float((self._gallery[list(others)] @ self._gallery[picture]).max())


def embed(encoder: ImageTextEncoder, rows: Sequence[ImageRow], kept: Path) -> NDArray[np.float32]:
    """Embed pictures, or read what an earlier run of the same encoder kept in `kept`.

    Returns:
        float32 (N, D), unit rows.
    """
    if kept.exists():
        with np.load(kept) as saved:
            if str(saved["encoder"]) == encoder.fingerprint and len(saved["rows"]) == len(rows):
                known: NDArray[np.float32] = saved["rows"]
                return known
    made = []
    for start in tqdm(range(0, len(rows), encoder.batch_size), "embed", unit="batch"):
        chunk = rows[start : start + encoder.batch_size]
        made.append(encoder.encode_images([decode_row(row) for row in chunk]))
    gallery: NDArray[np.float32] = np.concatenate(made)
    np.savez(kept, rows=gallery, encoder=np.array(encoder.fingerprint))
    return gallery
