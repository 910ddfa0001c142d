"""The gallery's ports: what readers and writers can do, whichever engine keeps the images.

The unit is a *generation*: the images of one build with their embeddings. It is opened, filled,
verified and published; once published it never changes, and a later one replaces it whole.
Everything here is blocking. Scores are cosines, embeddings float32 and of unit length.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, GallerySpec
from models.encoder.types import Embedding, Embeddings


@dataclass(frozen=True)
class GenerationInfo:
    """A published generation, as `GalleryReader.current` found it.

    Attributes:
        name: Unique among all generations that the engine ever kept under one alias.
        spec: Its metadata. Filters are checked against it, so it travels with the name and no
            search asks the engine for it.
    """

    name: str
    spec: GallerySpec


@dataclass(frozen=True)
class Hit:
    """A gallery image that was retrieved.

    Attributes:
        image: The image.
        retrieval_score: Its embedding's cosine to the query embedding, -1 to 1.
    """

    image: GalleryImage
    retrieval_score: float


@dataclass(frozen=True)
class StoredImage:
    """A gallery image and its embedding, float32 (D,)."""

    image: GalleryImage
    embedding: Embedding


@dataclass(frozen=True)
class Page:
    """Some images in the engine's own, fixed order.

    Attributes:
        images: The images.
        next_offset: Where the next page begins; None: this is the last one.
    """

    images: list[GalleryImage]
    next_offset: str | None


@dataclass(frozen=True)
class ReusableEmbedding:
    """Where the embedding of an image's bytes is already stored.

    Attributes:
        content_hash: SHA-256 of the bytes, hex.
        width: Of the upright image, in pixels.
        height: Of the upright image, in pixels.
        generation: The generation that holds it.
        image_id: The image it is stored for.
    """

    content_hash: str
    width: int
    height: int
    generation: str
    image_id: str


@dataclass(frozen=True)
class KeptGeneration:
    """A generation that the engine keeps, whether readers see it or not.

    Attributes:
        name: Its name.
        spec: Its metadata; of one that is not published, as it was when it was begun.
        images: How many images it holds.
        state: `in service`, `replaced` by a later one, or `unfinished`: of a build or change under
            way, or of one that was killed.
        size_bytes: What it takes on disk; None: the engine does not say.
    """

    name: str
    spec: GallerySpec
    images: int
    state: Literal["in service", "replaced", "unfinished"]
    size_bytes: int | None


class GalleryReader(Protocol):
    """Reads published generations.

    Every method raises `GalleryUnavailable` when the engine fails, and all but `current` raise
    `GenerationGone` once the generation has been dropped. Attempts are not repeated after the
    current `Cancellation` (`indexer.gallery.cancellation`) was cancelled.

    Attributes:
        threads: How many threads may use it at once.
    """

    threads: int

    def close(self) -> None:
        """Let go of the engine; by the thread that used it, if `threads` is 1."""

    def current(self) -> GenerationInfo:
        """The generation in service; raises `GalleryNotFound` if there is none."""

    def count(self, generation: GenerationInfo) -> int:
        """How many images it holds, exactly; apart from `current`, which is asked every second."""

    def search(
        self,
        generation: GenerationInfo,
        queries: Embeddings,
        limit: int,
        *,
        where: Filter | None = None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The images nearest to any of some queries, best first; a score is an image's best cosine.

        Args:
            generation: What is searched.
            queries: float32 (A, D) unit rows.
            limit: At most so many.
            where: Conditions that hold for all of them.
            among: Ids of the only images that are searched.

        Raises:
            InvalidFilter: `where` does not fit the gallery's facets, or an image of `among` is
                not there.
        """

    def fetch(self, generation: GenerationInfo, image_ids: Sequence[str]) -> list[StoredImage]:
        """Images by id, in the order asked; raises `ImageNotFound` if one is not there."""

    def scroll(
        self,
        generation: GenerationInfo,
        limit: int,
        *,
        offset: str | None = None,
        where: Filter | None = None,
    ) -> Page:
        """At most `limit` images, beginning at an earlier page's `next_offset`.

        Raises:
            InvalidFilter: `where` does not fit the gallery's facets.
            InvalidRequest: `offset` is no page's `next_offset`.
        """

    def sample(
        self, generation: GenerationInfo, limit: int, *, where: Filter | None = None
    ) -> list[GalleryImage]:
        """At most `limit` images at random; raises `InvalidFilter`."""


class Generation(Protocol):
    """A generation that is being built.

    `reusable` may be called by any thread at any time; all else by one thread at a time, for an
    engine need not be made for threads. Every method but `reusable` raises `GalleryError`; what
    is stored by then stays, and the gallery in service is untouched.
    """

    @property
    def name(self) -> str:
        """The generation's name."""

    def reusable(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        """An embedding that `put` can copy instead of a new one; None: there is none.

        It is asked by image and hash, not by hash alone: of the generation in service every image
        will do, of the one being built only the image's own, as any other may be given other bytes
        before it is copied.
        """

    def embeddings_of(self, stored: Sequence[ReusableEmbedding]) -> list[Embedding]:
        """Embeddings that are stored already, (D,) each, in the order asked.

        Raises:
            GalleryError: Also where one is gone, or belongs to other bytes by now.
        """

    def put(
        self,
        images: Sequence[GalleryImage],
        embeddings: Sequence[Embedding | ReusableEmbedding],
    ) -> None:
        """Store images with their embeddings, each (D,) or to be copied; repeating it changes
        nothing.

        Raises:
            GalleryError: Also where a reusable embedding is gone, or belongs to other bytes by now.
        """

    def delete(self, image_ids: Sequence[str]) -> None:
        """Remove images; those that are not there do not matter."""

    def publish(self, expected: Collection[str], spec: GallerySpec) -> None:
        """Verify the generation, put it in service, and drop those it replaces.

        Args:
            expected: Ids of exactly the images it must hold; others are removed. A `Set` is asked
                for its members and not copied: it may be larger than memory.
            spec: Of exactly these images. It is not derived from what is stored: facets and their
                values follow the order of the manifest, which an engine does not keep.

        Raises:
            GalleryError: Also where images are missing or are not found by a search.
        """


class GalleryWriter(Protocol):
    """Makes generations. It is used by one thread at a time."""

    def close(self) -> None:
        """Let go of the engine."""

    def published(self) -> str | None:
        """The name of the generation in service; None: there is no gallery yet.

        Raises:
            GalleryError: The engine fails.
        """

    def generations(self) -> list[KeptGeneration]:
        """All generations of this gallery that the engine keeps, of whichever encoder.

        Raises:
            GalleryError: The engine fails.
        """

    def images(self, generation: str) -> Iterator[GalleryImage]:
        """Every image that a generation holds, in an order of the engine's own; memory does not
        grow with their number.

        Raises:
            GalleryError: The engine fails, or there is no such generation.
        """

    def check(self, generation: str) -> list[str]:
        """What is wrong with a published generation by the engine's own checks, a sentence each:
        damaged data, missing replicas, a graph that finds too little.

        Raises:
            GalleryError: The engine fails.
        """

    def drop(self, generation: str) -> bool:
        """Remove a generation that is not in service; False: someone still reads or writes it.

        Raises:
            GalleryError: The engine fails, or it is in service.
        """

    def open_generation(self, spec: GallerySpec, *, copy_of: str | None = None) -> Generation:
        """Begin a generation, or go on with the unfinished one of the same encoder.

        Args:
            spec: Of what it shall hold.
            copy_of: The generation in service, of the same encoder, which the new one begins as a
                copy of: what is neither put nor deleted stays as it is there, embedding and all.
                What an unfinished generation holds beyond that can be reused until `publish`.

        Raises:
            GalleryError: The engine fails, or `copy_of` is another encoder's.
        """
