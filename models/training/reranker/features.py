"""The frozen vision tower's output for the catalogue's pictures: computed once, kept in a file.

The tower is never trained, so a step costs the language model alone. The file is mapped, not read:
it may be larger than memory.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from models.datasets.manifest import ImageRow
from models.reranker.architectures.base import EncoderOutput, VisualFeatures
from models.reranker.reranker import Reranker
from models.training.reranker.catalogue import decode_row
from models.training.run_identity import fingerprint

_CHUNK = 16
Grid = tuple[int, int, int]  # frames, rows and columns of patches


@dataclass(frozen=True)
class Entry:
    """Where a picture's visual tokens are.

    Attributes:
        start: The first token's place in the file.
        tokens: How many follow.
        grid: Its patches.
    """

    start: int
    tokens: int
    grid: Grid


class FeatureFile:
    """Visual tokens of many pictures, and what deepstack adds, in half precision.

    Pictures are known by their location.

    Attributes:
        name: Other pictures, or another tower, have another.
    """

    def __init__(
        self, name: str, path: Path, index: Mapping[str, Entry], levels: int, width: int
    ) -> None:
        """`levels`: one for the tokens themselves and one for each level of deepstack."""
        self.name, self._index, self._levels, self._width = name, index, levels, width
        tokens = sum(entry.tokens for entry in index.values())
        self._values = torch.from_file(
            str(path), size=tokens * levels * width, dtype=torch.float16
        ).view(tokens, levels, width)

    def grid(self, location: str) -> Grid:
        """A picture's patches."""
        return self._index[location].grid

    def encoder_output(
        self, locations: Sequence[str], device: torch.device, dtype: torch.dtype
    ) -> EncoderOutput:
        """Pictures as the vision tower would give them to the language model."""
        pictures = [self._of(location).to(device=device, dtype=dtype) for location in locations]
        return EncoderOutput(
            tuple(levels[:, 0] for levels in pictures),
            [tuple(levels[:, i] for levels in pictures) for i in range(1, self._levels)],
        )

    def features(self, location: str, device: torch.device, dtype: torch.dtype) -> VisualFeatures:
        """A picture as `Reranker.score` takes it."""
        levels = self._of(location).to(device=device, dtype=dtype)
        return VisualFeatures(
            levels[:, 0],
            tuple(levels[:, i] for i in range(1, self._levels)),
            torch.tensor([self.grid(location)]),
        )

    def _of(self, location: str) -> Tensor:
        entry = self._index[location]
        return self._values[entry.start : entry.start + entry.tokens]


def extract_features(
    reranker: Reranker, rows: Sequence[ImageRow], folder: Path, tower: str
) -> FeatureFile:
    """Run the vision tower over pictures, or open what an earlier run kept in `folder`.

    Args:
        reranker: Whose tower, and whose way of scaling pictures.
        rows: The pictures.
        folder: Where `features.f16` and its index are kept.
        tower: Names the tower and the visual tokens. Features of another, or of files that are
            elsewhere or of another size, are made anew.

    Raises:
        ManifestError: A picture cannot be read.
    """
    values, index = folder / "features.f16", folder / "features.json"
    key = fingerprint(tower, [(row.location, _bytes_on_disk(row)) for row in rows])
    known = json.loads(index.read_text("utf-8")) if index.exists() else {}
    if known.get("key") != key:
        index.unlink(missing_ok=True)
        known = {"key": key} | _compute(reranker, rows, values)
        index.write_text(json.dumps(known), encoding="utf-8")  # last: with it, the file is whole
    entries = {
        location: Entry(start, tokens, (grid[0], grid[1], grid[2]))
        for location, (start, tokens, grid) in known["entries"].items()
    }
    return FeatureFile(key, values, entries, known["levels"], known["width"])


def _bytes_on_disk(row: ImageRow) -> int | None:
    """A file's size; None for what is elsewhere, or not there at all."""
    path = Path(row.location)
    return path.stat().st_size if row.host is None and path.exists() else None


def _compute(reranker: Reranker, rows: Sequence[ImageRow], values: Path) -> dict[str, Any]:
    entries: dict[str, tuple[int, int, list[int]]] = {}
    start = levels = width = 0
    with values.open("wb") as file:
        for row, features in tqdm(_encode_all(reranker, rows), "features", len(rows), unit="image"):
            stack = torch.stack([features.tokens, *features.deepstack], dim=1)  # (T, levels, D)
            tokens, levels, width = stack.shape
            entries[row.location] = (start, tokens, features.grid[0].tolist())
            file.write(stack.half().cpu().contiguous().numpy().tobytes())
            start += tokens
    return {"levels": levels, "width": width, "entries": entries}


def _encode_all(
    reranker: Reranker, rows: Sequence[ImageRow]
) -> Iterator[tuple[ImageRow, VisualFeatures]]:
    for begin in range(0, len(rows), _CHUNK):
        chunk = rows[begin : begin + _CHUNK]
        prepared = [reranker.prepare(decode_row(row)) for row in chunk]
        yield from zip(chunk, reranker.features(prepared), strict=True)
