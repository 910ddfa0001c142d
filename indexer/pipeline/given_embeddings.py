"""Embeddings that came with the rows: are they the encoder's? Asked of a sample, before a build."""

from collections.abc import Iterator
from itertools import islice
from statistics import median

import numpy as np

from indexer.settings import IndexerSettings
from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.datasets.rows import ImageRow, ImageRows
from models.datasets.stored_embeddings import InvalidEmbedding
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding
from models.errors import InputError

_SAMPLE = 16
# two encoders that share no training are near 0; one and the same, on images that were stored
# smaller or compressed again, is above .97
_LEAST_COSINE = 0.95


def check_embeddings(rows: ImageRows, encoder: ImageTextEncoder, settings: IndexerSettings) -> str:
    """Compare embeddings that are given with what the encoder makes of the same images.

    Args:
        rows: Rows with embeddings.
        encoder: Said to have made them.
        settings: Limits on files.

    Returns:
        How near they are, as a line.

    Raises:
        InputError: They are another encoder's, or none of the sample's images can be read.
    """
    cosines, last_failure = [], ""
    for row in _spread(rows):
        try:
            cosines.append(_cosine(row, encoder, settings))
        except (OSError, InvalidImage, InvalidEmbedding) as error:
            last_failure = f"{row.image_id}: {error}"
    if not cosines:
        raise InputError(
            "the embeddings cannot be compared with the encoder's: none of the images that were "
            f"tried can be used, the last is {last_failure}"
        )
    if (middle := median(cosines)) < _LEAST_COSINE:
        raise InputError(
            f"the embeddings are not those of {encoder.fingerprint}: of {len(cosines)} images, the "
            f"median cosine between what is given and what it makes is {middle:.3f}, and should be "
            f"{_LEAST_COSINE} at least; --encoder names the one that made them"
        )
    return (
        f"embeddings are given; of {len(cosines)} images, the median cosine to the encoder's own "
        f"is {middle:.3f}"
    )


def _spread(rows: ImageRows) -> Iterator[ImageRow]:
    """Some rows, evenly spread."""
    return islice(rows, 0, None, max(1, len(rows) // _SAMPLE))


def _cosine(row: ImageRow, encoder: ImageTextEncoder, settings: IndexerSettings) -> float:
    assert row.embedding is not None
    given: Embedding = row.embedding.read()  # (D,)
    if len(given) != encoder.embedding_dim:
        raise InputError(
            f"the embeddings have {len(given)} dimensions, and those of {encoder.fingerprint} "
            f"{encoder.embedding_dim}; --encoder names the one that made them"
        )
    data = row.read_bytes(settings.read_timeout_s, settings.max_image_bytes)
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    own = encoder.encode_preprocessed([encoder.preprocess(decode_image(data, limits))])
    return float(np.dot(own[0], given))
