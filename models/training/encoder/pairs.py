"""Image–caption pairs of a manifest, decoded once and held in memory for training."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.datasets.manifest import ImageRow, ManifestError, read_manifest

_GROUPS_PER_BATCH, _FEWEST = 8, 2

Tokenize = Callable[[list[str]], torch.Tensor]


@dataclass(frozen=True)
class Pairs:
    """N pictures with C captions each.

    Attributes:
        images: uint8 (N, 3, S, S).
        tokens: int64 (N, C, T); rows with fewer captions repeat theirs.
        captions: The first, canonical caption of every picture, N strings.
        held_out: bool (N,), pictures with attribute combinations that training never sees.
        facets: Facet name → one set of values per picture.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    captions: list[str]
    held_out: torch.Tensor
    facets: dict[str, list[frozenset[str]]]

    def __len__(self) -> int:
        return len(self.captions)


def load_pairs(
    manifest: Path,
    tokenize: Tokenize,
    size_px: int,
    limit: int | None = None,
    chosen: Callable[[str], bool] = lambda _: True,
) -> Pairs:
    """Read a manifest's pictures and captions.

    Args:
        manifest: See `models.datasets.manifest`; every row has a `caption`, and may have more of
            them in a list `captions`.
        tokenize: Texts → int64 (B, T).
        size_px: S; pictures are scaled and centre-cropped to S × S.
        limit: Read at most this many rows.
        chosen: Says by their ids which images are meant.

    Raises:
        ManifestError: The manifest or a picture cannot be read, or a row has no caption.
    """
    rows = [row for row in read_manifest(manifest) if chosen(row.image_id)][:limit]
    if len(rows) < _FEWEST:
        raise ManifestError(
            f"{manifest}: {len(rows)} of its pictures are for this; contrasts need {_FEWEST}"
        )
    captions = [list(row.payload.get("captions") or [row.caption]) for row in rows]
    for row, said in zip(rows, captions, strict=True):
        if not all(said):
            raise ManifestError(
                f"{manifest}: the image {row.image_id} has no `caption`; training needs one of each"
            )

    def pixels(row: ImageRow) -> np.ndarray:
        try:
            image = decode_image(row.read_bytes(), ImageLimits(), size_px)
        except (OSError, InvalidImage) as error:
            raise ManifestError(f"the image {row.location} cannot be read: {error}") from error
        fitted = ImageOps.fit(image, (size_px, size_px), Image.Resampling.BICUBIC)
        return np.asarray(fitted).transpose(2, 0, 1)

    images = np.empty((len(rows), 3, size_px, size_px), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(pixels, rows)
        for number, picture in enumerate(tqdm(decoded, "decode", len(rows), unit="image")):
            images[number] = picture
    most = max(len(said) for said in captions)
    flat = [said[i % len(said)] for said in captions for i in range(most)]
    tokens = torch.cat([tokenize(flat[i : i + 4096]) for i in range(0, len(flat), 4096)])
    names = sorted({name for row in rows for name in row.attributes})
    return Pairs(
        images=torch.from_numpy(images),
        tokens=tokens.view(len(rows), most, -1),
        captions=[said[0] for said in captions],
        held_out=torch.tensor([bool(row.payload.get("held_out")) for row in rows]),
        facets={name: [_values(row.attributes.get(name)) for row in rows] for name in names},
    )


def batches(pairs: Pairs, size: int, group_by: Sequence[str], seed: int) -> Iterator[torch.Tensor]:
    """Endless batches of row numbers, int64 (at most `size`,), all with different captions.

    With `group_by` a batch is made of groups whose pictures share a value of each of those facets:
    blue things on the beach, red ones in the snow. What tells a group apart is everything but what
    was easy, so its loss says more; several groups keep its statistics (batch norm) like the
    gallery's.

    Raises:
        KeyError: There is no such facet.
    """
    rng = np.random.default_rng(seed)
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, values in enumerate(zip(*(pairs.facets[name] for name in group_by), strict=True)):
        for combination in product(*values):
            members[combination].append(number)
    groups = [np.array(rows) for rows in members.values()] or [np.arange(len(pairs))]
    each = max(1, size // _GROUPS_PER_BATCH) if group_by else size
    while True:
        picked = rng.choice(len(groups), min(size // each, len(groups)), replace=False)
        rows = [rng.choice(groups[i], min(each, len(groups[i])), replace=False) for i in picked]
        # two pictures with the same caption would be each other's wrong answer
        different = {pairs.captions[row]: row for row in np.concatenate(rows)}
        yield torch.tensor(sorted(different.values()))


def jitter(images: torch.Tensor) -> torch.Tensor:
    """Random brightness and contrast, so that shades are not learned by heart."""
    shape = (len(images), 1, 1, 1)
    contrast = 1 + 0.1 * (2 * torch.rand(shape, device=images.device) - 1)
    brightness = 0.05 * (2 * torch.rand(shape, device=images.device) - 1)
    return (images * contrast + brightness).clamp(0, 1)


def _values(value: object) -> frozenset[str]:
    if isinstance(value, list):
        return frozenset(map(str, value))
    return frozenset() if value is None else frozenset([str(value)])
