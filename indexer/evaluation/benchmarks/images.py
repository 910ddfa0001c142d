"""A benchmark's images → rows of the manifest that the indexer reads."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from indexer.evaluation.benchmarks.annotations import Source
from indexer.evaluation.contracts import BenchmarkError


def manifest_rows(files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Image id → file as manifest rows, in the same order.

    Paths become absolute: the indexer reads relative ones from the manifest's folder.
    """
    return [
        {"image": str(file.absolute()), "image_id": image_id} for image_id, file in files.items()
    ]


def check_present(files: Collection[Path], source: Source) -> None:
    """Refuses a gallery that lacks images which the annotations name.

    Raises:
        BenchmarkError: How many of how many are missing, the first, and where they are from.
    """
    if missing := [file for file in files if not file.is_file()]:
        raise BenchmarkError(
            f"{len(missing)} of {len(files)} images are missing, first {missing[0]}; "
            f"they are from {source.images}"
        )


def coco_file(images: Path, image_id: str) -> Path:
    """Where COCO keeps an image, such as `000000001584.jpg`."""
    return images / f"{image_id.zfill(12)}.jpg"
