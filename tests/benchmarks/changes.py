"""How long a change takes until it is served: a share of a gallery's images is replaced by a sync.

    python -m tests.benchmarks.changes --images 100000 --share 0.01

Embeddings are given and random, no file is read and no copy is made: what is measured is the
comparison, the copy of the generation, what is put, and publishing. With `QDRANT_URL` on that
server, without on the embedded engine.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from indexer.gallery import open_reader, open_writer
from indexer.pipeline.build import build_gallery
from indexer.pipeline.changes.held import read_held
from indexer.pipeline.changes.plan import apply, plan_sync
from models.datasets.rows import ImageRow
from models.datasets.stored_embeddings import EmbeddingPlace
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from tests.conftest import indexer_settings

COLOURS = ("red", "blue", "green", "black", "white")


def rows(images: int, changed: int, dim: int, file: Path) -> list[ImageRow]:
    """Rows with embeddings; the first `changed` of them are of other bytes."""
    width = 4 * dim
    return [
        ImageRow(
            f"image-{number}",
            "",
            caption=f"picture {number}",
            attributes={"colour": COLOURS[number % 5], "price": number % 500},
            payload={"sha256": f"{place:064x}", "width": 640, "height": 480},
            embedding=EmbeddingPlace(str(file), place * width, "<f4", dim),
        )
        for number in range(images)
        for place in [number + images if number < changed else number]
    ]


@contextmanager
def timed(what: str, seconds: dict[str, float]) -> Iterator[None]:
    """Take the time of what is inside."""
    began = time.monotonic()
    yield
    seconds[what] = time.monotonic() - began


def main() -> None:
    """Build, change, say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--share", type=float, default=0.01)
    options = parser.parse_args()
    encoder, seconds = ImageTextEncoder(load_preset("demo").encoder), dict[str, float]()
    images, changed = options.images, round(options.images * options.share)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.f4"
        rng = np.random.default_rng(0)
        rng.standard_normal((images + changed, encoder.embedding_dim), np.float32).tofile(file)
        settings = indexer_settings(Path(folder), make_copies=False)
        before = rows(images, 0, encoder.embedding_dim, file)
        after = rows(images, changed, encoder.embedding_dim, file)
        with closing(open_writer(settings.gallery)) as writer:
            with timed("build", seconds):
                build_gallery(before, encoder, writer, settings)
            with timed("what is held", seconds):
                held = read_held(writer, encoder.fingerprint)
            with timed("compare", seconds):
                plan = plan_sync(after, held, encoder, settings)
            with timed("make and publish", seconds):
                apply(plan, encoder, writer, settings)
        with closing(open_reader(settings.gallery)) as reader, timed("found by readers", seconds):
            generation = reader.current()
            assert reader.count(generation) == images
            assert int(reader.fetch(generation, ["image-0"])[0].image.content_hash, 16) == images
    assert plan.replaced.count == changed
    whole = sum(seconds.values()) - seconds["build"]
    parts = ", ".join(f"{what} {value:.1f} s" for what, value in seconds.items())
    print(f"{changed} of {images} images replaced in {whole:.1f} s ({parts})")


if __name__ == "__main__":
    main()
