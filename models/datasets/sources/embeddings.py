"""Embeddings that exist already: folders of `.npy` and Parquet, as clip-retrieval writes them.

    img_emb/img_emb_0.npy            one row per image, float16 or float32
    metadata/metadata_0.parquet      the same rows: where the image is, its caption, …

Or `.npy` files beside `.parquet` files of the same number, as other tools leave them. Embeddings
stay where they are until they are needed: a row knows its place in a file.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.datasets.records import Columns, ManifestError, Problems, Record, RecordFile, json_cell
from models.datasets.sources.parquet import read_parquet
from models.datasets.stored_embeddings import EmbeddingPlace

_IMAGE_COLUMNS = ("image", "image_path", "url")  # the first that a row has
_ID_COLUMNS = ("image_id", "key")
_NUMBER = re.compile(r"(\d+)$")


def read_embeddings(folder: Path, problems: Problems, columns: Columns) -> RecordFile:
    """The records of such a folder, each with the place of its embedding.

    The image is the first of `image`, `image_path`, `url`; its id `image_id` or `key`.

    Raises:
        ManifestError: There are none, or a `.npy` file is not of one row per image.
    """
    return RecordFile(_records(_pairs(folder), problems, columns), json_cell)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The files of embeddings, each with the file that says what they are of."""
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder")
    nested = (folder / "img_emb").is_dir()
    arrays = _by_number(folder / "img_emb" if nested else folder, "npy")
    tables = _by_number(folder / "metadata" if nested else folder, "parquet")
    if not arrays:
        raise ManifestError(
            f"{folder} holds no embeddings: neither img_emb/*.npy with metadata/*.parquet nor "
            "*.npy beside *.parquet"
        )
    if alone := sorted(arrays.keys() ^ tables.keys()):
        raise ManifestError(
            f"{folder}: to each .npy file belongs a .parquet file of the same number; number "
            f"{alone[0]} has only one of them"
        )
    return [(arrays[number], tables[number]) for number in sorted(arrays)]


def _by_number(folder: Path, suffix: str) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in sorted(folder.glob(f"*.{suffix}")):
        number = int(match[1]) if (match := _NUMBER.search(path.stem)) else 0
        if number in numbered:
            raise ManifestError(f"{numbered[number]} and {path} have the same number")
        numbered[number] = path
    return numbered


def _records(
    pairs: list[tuple[Path, Path]], problems: Problems, columns: Columns
) -> Iterator[Record]:
    line = 0
    for array, table in pairs:
        places = _places(array)
        with table.open("rb") as file:
            for record in read_parquet(file, problems, columns).records:
                line += 1
                place = next(places, None)
                if place is None:
                    raise ManifestError(f"{table} has more rows than {array}")
                yield replace(_named(record), line=line, embedding=place)
        if next(places, None) is not None:
            raise ManifestError(f"{array} has more rows than {table}")


def _places(path: Path) -> Iterator[EmbeddingPlace]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ManifestError(f"{path} is no array of numpy's ({error})") from error
    if array.ndim != 2 or array.dtype.kind != "f" or not array.flags.c_contiguous:
        raise ManifestError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected are float16 or float32, "
            "one row per image"
        )
    (count, dim), dtype, start = array.shape, array.dtype.str, int(array.offset)
    row_bytes = dim * array.itemsize
    return (EmbeddingPlace(str(path), start + row * row_bytes, dtype, dim) for row in range(count))


def _named(record: Record) -> Record:
    """The record with its image and id under the names that manifests give them."""
    columns = dict(record.columns)
    for right, names in (("image", _IMAGE_COLUMNS), ("image_id", _ID_COLUMNS)):
        found = next((name for name in names if name in columns), None)
        if found is not None:
            columns[right] = columns.pop(found)
    return replace(record, columns=columns)
