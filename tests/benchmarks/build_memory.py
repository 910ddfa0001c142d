"""Whether a build's memory grows with the number of its rows.

    python -m tests.benchmarks.build_memory --rows 100000 1000000 --folder /tmp/memory

Writes embeddings and Parquet of so many images, as clip-retrieval would, builds a gallery of each
number in a process of its own (no files are read: `make_copies=false`), and prints the peaks of
resident memory and their ratio. `--engine none` leaves the engine out: images are handed to a
generation that stores nothing, so what is measured is the pipeline. `--engine folder` measures
both, and counts what the engine maps into memory.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.gallery import open_writer
from indexer.gallery.ports import GalleryWriter, ReusableEmbedding
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline.build import build_gallery
from indexer.pipeline.source import read_rows
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage, GallerySpec
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding
from models.presets import load_preset
from tests.paths import ROOT

_PART = 50_000


class Nowhere:
    """A generation, and the writer that opens it, that store nothing; it counts what it gets."""

    name = "nowhere"

    def __init__(self) -> None:
        self.count = 0

    def open_generation(self, spec: GallerySpec) -> "Nowhere":
        return self

    def reusable(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        return None

    def put(
        self, images: Sequence[GalleryImage], embeddings: Sequence[Embedding | ReusableEmbedding]
    ) -> None:
        self.count += len(images)

    def publish(self, expected: Collection[str], spec: GallerySpec) -> None:
        assert len(expected) == self.count

    def close(self) -> None:
        """Nothing to let go of."""


def write(folder: Path, rows: int, dim: int) -> None:
    """Embeddings and their images' descriptions, in parts."""
    rng = np.random.default_rng(0)
    for sub in ("img_emb", "metadata"):
        (folder / sub).mkdir(parents=True)
    for part, start in enumerate(range(0, rows, _PART)):
        ids = range(start, min(rows, start + _PART))
        vectors = rng.standard_normal((len(ids), dim), np.float32).astype(np.float16)
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", vectors)
        table = {
            "image": [f"images/{i:09d}.jpg" for i in ids],
            "caption": [f"a picture of thing number {i}, of no importance" for i in ids],
            "attributes.category": [f"kind {i % 90}" for i in ids],
            "attributes.price": [i % 1000 / 4 for i in ids],
            "attributes.title": [f"thing {i}" for i in ids],
            "sha256": [f"{i:064x}" for i in ids],
            "width": [640] * len(ids),
            "height": [480] * len(ids),
        }
        pq.write_table(pa.table(table), folder / "metadata" / f"metadata_{part}.parquet")


def build(folder: Path, engine: str) -> None:
    """One build, here; prints what it did and the peak of this process's resident memory."""
    settings = IndexerSettings(
        encoder=load_preset("demo").encoder,
        make_copies=False,
        image_store=folder / "images",
        gallery=GalleryWriterSettings(path=folder / "gallery"),
    )
    encoder = ImageTextEncoder(settings.encoder)
    nowhere = cast("GalleryWriter", Nowhere())
    writer = nowhere if engine == "none" else open_writer(settings.gallery)
    started = time.monotonic()
    rows = read_rows(None, None, (), embeddings=folder)
    print(f"  rows read in {time.monotonic() - started:.1f} s")
    report = build_gallery(rows, encoder, writer, settings)
    writer.close()
    print(f"  {next(report.lines())}")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    print(f"peak_kb={peak[1]}")


def measured(folder: Path, rows: int, engine: str) -> float:
    """The peak of resident memory of a build of so many rows, in MB."""
    if not folder.exists():
        write(folder, rows, ImageTextEncoder(load_preset("demo").encoder).embedding_dim)
    command = [sys.executable, "-m", "tests.benchmarks.build_memory", "--only", str(folder)]
    run = subprocess.run(
        [*command, "--engine", engine], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    said, _, peak = run.stdout.rpartition("peak_kb=")
    print(f"{rows:,} rows: {int(peak) / 1024:.0f} MB at its peak\n{said.rstrip()}")
    return int(peak) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/build-memory"))
    parser.add_argument("--engine", choices=["none", "folder"], default="none")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        build(options.only, options.engine)
        return
    few, many = (measured(options.folder / f"{n}", n, options.engine) for n in options.rows)
    print(f"ratio: {many / few:.2f}")


if __name__ == "__main__":
    main()
