"""Shards of one source: many machines embed parts of it into one generation, and one publishes.

Each machine reads the whole source, so all agree on its schema and on who embeds what; each looks
at the files of its own rows alone. Who publishes looks at none that is embedded already: it checks
the whole against the source, embeds what is missing, and puts it in service.
"""

import pickle
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from indexer.gallery.ports import GalleryWriter, ReusableEmbedding
from models.datasets.disk_map import DiskMap
from models.datasets.rows import ImageRow
from models.errors import InputError

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")


@dataclass(frozen=True)
class Shard(Collection[ImageRow]):
    """Every `of`-th row of a source, beginning with row `number`.

    Attributes:
        rows: The source.
        number: 1 to `of`.
        of: How many shards there are.
    """

    rows: Collection[ImageRow]
    number: int
    of: int

    def __len__(self) -> int:
        return len(range(self.number - 1, len(self.rows), self.of))

    def __iter__(self) -> Iterator[ImageRow]:
        return islice(self.rows, self.number - 1, None, self.of)

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)


def shard_of(text: str) -> tuple[int, int]:
    """`3/8` as the third of eight.

    Raises:
        InputError: It is written otherwise, or there is no such shard.
    """
    match = _SHARD.fullmatch(text)
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of:
        raise InputError(f"--shards: {text!r} should be like 3/8, or `publish`")
    return number, of


class Embedded:
    """What a generation holds when its shards are embedded, by image id; kept on disk."""

    def __init__(self, writer: GalleryWriter, generation: str) -> None:
        """Read it.

        Raises:
            GalleryError: The engine fails.
        """
        self._generation, self._images = generation, DiskMap()
        for image in writer.images(generation):
            place = pickle.dumps((image.content_hash, image.width, image.height))
            self._images.setdefault(image.image_id, place)

    def of(self, row: ImageRow) -> ReusableEmbedding | None:
        """Where a row's embedding is stored; None: no shard embedded it."""
        place = self._images.get(row.image_id)
        if place is None:
            return None
        content_hash, width, height = pickle.loads(place)
        return ReusableEmbedding(content_hash, width, height, self._generation, row.image_id)
