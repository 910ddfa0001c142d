"""What is shared by those who write a gallery."""

from dataclasses import dataclass

from models.contracts.gallery import GalleryImage


@dataclass(frozen=True)
class ReusableEmbedding:
    """A picture that an earlier build embedded: its size, and where its embedding is."""

    content_hash: str
    width: int
    height: int
    collection: str
    point_id: str


@dataclass(frozen=True)
class Hit:
    """A gallery image that the coarse stage found, with its cosine to the query embedding."""

    image: GalleryImage
    retrieval_score: float
