"""How a server stores a generation of some size: quantized or not, in memory or on disk.

Up to a million images everything that a search touches is in memory as it is. Beyond, the server
keeps 4-bit codes (TurboQuant) and the graph in memory, and float32 vectors and payload on disk: a
search finds twice as many images as are asked for by their codes, and scores these by their
vectors.
"""

from dataclasses import dataclass

from qdrant_client import models

MAX_UNQUANTIZED = 1_000_000  # images
_OVERSAMPLING = 2.0
_LINKS_BYTES = 160  # of the graph, per image: 32 links of 4 bytes at the bottom, and those above
_PAYLOAD_BYTES = 1_000  # per image, indexes included: an id, a hash, a caption, five attributes
_SLACK = 1.5  # segments are merged into new ones before the old ones go


@dataclass(frozen=True)
class Storage:
    """What is kept where.

    Attributes:
        bits: Per number of an embedding, of what is searched in memory: 32 or 4.
        on_disk: Whether float32 vectors and payload stay on disk.
    """

    bits: int
    on_disk: bool

    def ram_bytes(self, images: int, dim: int) -> int:
        """About how much memory so many images need, on all nodes together, each image once."""
        return int(_SLACK * images * (dim * self.bits / 8 + _LINKS_BYTES))

    def disk_bytes(self, images: int, dim: int) -> int:
        """About how much disk so many images need, on all nodes together, each image once."""
        codes = 0 if self.bits == 32 else dim * self.bits / 8
        return int(_SLACK * images * (4 * dim + codes + _LINKS_BYTES + _PAYLOAD_BYTES))

    def vectors_diff(self) -> models.VectorParamsDiff | None:
        """What is changed of a collection's vectors for it; None: nothing."""
        if not self.on_disk:
            return None
        codes = models.TurboQuantQuantizationConfig(
            bits=models.TurboQuantBitSize.BITS4, always_ram=True
        )
        return models.VectorParamsDiff(
            on_disk=True, quantization_config=models.TurboQuantization(turbo=codes)
        )


def storage_for(images: int) -> Storage:
    """How a generation of so many images is stored."""
    return Storage(32, False) if images <= MAX_UNQUANTIZED else Storage(4, True)


def search_params(exact: bool | None = None) -> models.SearchParams:
    """How a collection is searched, quantized or not: where it is not, nothing is rescored."""
    return models.SearchParams(
        exact=exact,
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING),
    )
