"""The embedded gallery beside qdrant-client's local mode: loading, searching, opening, recall.

    python -m tests.benchmarks.gallery                       # 20,000 images, both, turn about
    python -m tests.benchmarks.gallery --images 200000 --alone

Images have 512 dimensions, three attributes and a caption. Their vectors lie around a common mean,
in two thousand topics of unequal size; between and inside topics the variance of the directions
falls with their rank, so that a hundred of them hold three quarters of it. Queries are other
vectors of the same kind. `load` is until all is on the disk,
without the graph; a search gives 100 images with all that is stored of them. `--alone` leaves
local mode out. `--folder` keeps the gallery, or takes the one that is there.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models

from indexer.gallery import open_reader, open_writer
from indexer.gallery.ports import GalleryReader
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.filter import Filter
from models.contracts.gallery import Facet, GalleryImage, GallerySpec, point_id_for
from models.encoder.types import Embeddings

DIM, LIMIT, BATCH, TOPICS = 512, 100, 1000, 2000
QUERIES, WARM_UP = 100, 10
SPEC = GallerySpec(
    encoder_fingerprint="benchmark", embedding_dim=DIM, preset="demo", rerank_px=448,
    thumbnail_px=256, built_at="2026-01-01T00:00:00Z",
    facets=(
        Facet(name="category", kind="keyword"),
        Facet(name="colour", kind="keyword"),
        Facet(name="price", kind="number"),
    ),
)  # fmt: skip
TENTH = "kind 3"  # a tenth of all images has this category


def vectors(count: int, seed: int) -> Embeddings:
    """Unit rows (count, 512) of one distribution, whatever the seed."""
    of_all = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(of_all.normal(size=(DIM, DIM)))
    spread = rotation / np.sqrt(np.arange(1, DIM + 1))[:, np.newaxis]  # (direction, D)
    mean = 3 * rotation.sum(axis=0) / DIM**0.5
    topics = of_all.normal(size=(TOPICS, DIM)) @ spread
    rng = np.random.default_rng(seed)
    made = np.empty((count, DIM), np.float32)
    for start in range(0, count, BATCH):
        rows = made[start : start + BATCH]
        topic = (TOPICS * rng.random(len(rows)) ** 2).astype(int)
        inside = 0.8 * rng.normal(size=rows.shape) @ spread
        rows[:] = mean + topics[topic] + inside
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def images(count: int) -> list[GalleryImage]:
    """What is stored beside the vectors."""
    return [
        GalleryImage(
            image_id=f"image-{n:07d}", content_hash=f"{n:064x}", width=640, height=480,
            caption=f"a picture of thing number {n}, of no importance",
            attributes={
                "category": f"kind {n % 10}", "colour": ["red", "blue", "green"][n % 3],
                "price": n % 1000 / 4,
            },
        )
        for n in range(count)
    ]  # fmt: skip


class LocalMode:
    """qdrant-client's local mode on a folder."""

    def __init__(self, folder: Path) -> None:
        self._client = QdrantClient(path=str(folder))
        params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        self._client.create_collection("gallery", vectors_config=params)

    def load(self, stored: Sequence[GalleryImage], rows: Embeddings) -> None:
        """Store everything."""
        for start in range(0, len(stored), BATCH):
            some = slice(start, start + BATCH)
            points = [
                models.PointStruct(
                    id=point_id_for(image.image_id), vector=row, payload=image.model_dump()
                )
                for image, row in zip(stored[some], rows[some].tolist(), strict=True)
            ]
            self._client.upsert("gallery", points)

    def search(self, query: Embeddings, category: str | None = None) -> list[GalleryImage]:
        """The nearest images."""
        asked = None
        if category is not None:
            match = models.MatchValue(value=category)
            condition = models.FieldCondition(key="attributes.category", match=match)
            asked = models.Filter(must=[condition])
        found = self._client.query_points(
            "gallery", query[0].tolist(), limit=LIMIT, query_filter=asked
        )
        return [GalleryImage.model_validate(point.payload) for point in found.points]

    def close(self) -> None:
        """Let go of the folder."""
        self._client.close()


class Embedded:
    """The embedded gallery on a folder."""

    def __init__(self, folder: Path) -> None:
        self.settings = GalleryWriterSettings(path=folder, swap_grace_s=0)
        self.reader: GalleryReader = open_reader(self.settings)

    def load(self, stored: Sequence[GalleryImage], rows: Embeddings) -> None:
        """Store everything, and keep it."""
        writer = open_writer(self.settings)
        generation = writer.open_generation(SPEC)
        for start in range(0, len(stored), BATCH):
            some = slice(start, start + BATCH)
            generation.put(stored[some], list(rows[some]))
        writer.close()

    def publish(self, stored: Sequence[GalleryImage]) -> None:
        """Build the graph, check, seal, put in service."""
        writer = open_writer(self.settings)
        writer.open_generation(SPEC).publish([image.image_id for image in stored], SPEC)
        writer.close()

    def search(self, query: Embeddings, category: str | None = None) -> list[GalleryImage]:
        """The nearest images."""
        where: Filter = {} if category is None else {"category": category}
        hits = self.reader.search(self.reader.current(), query, LIMIT, where=where)
        return [hit.image for hit in hits]

    def close(self) -> None:
        """Let go of the folder."""
        self.reader.close()


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def with_waits(work: Callable[[], object]) -> tuple[float, float]:
    """How long something takes, and how long it kept another thread waiting at one time."""
    ended, longest = threading.Event(), 0.0

    def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not ended.wait(0.001):
            now = time.perf_counter()
            last, longest = now, max(longest, now - last)

    other = threading.Thread(target=tick)
    other.start()
    took = seconds(work)
    time.sleep(0.01)  # what it waited for last is counted
    ended.set()
    other.join()
    return took, longest


def percentiles(name: str, times_s: Sequence[tuple[float, float]]) -> None:
    """Print the middle and the slow end of what was measured: by the clock, and processor time."""
    (p50, cpu), (p95, _) = 1000 * np.percentile(times_s, [50, 95], axis=0)
    print(f"{name:28} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms   CPU p50 {cpu:7.2f} ms", flush=True)


def recall(found: Sequence[Sequence[GalleryImage]], queries: Embeddings, rows: Embeddings) -> float:
    """The share of the exact nearest 100 that was found."""
    hit = 0
    for query, answer in zip(queries, found, strict=True):
        nearest = np.argpartition(-(rows @ query), LIMIT)[:LIMIT]
        hit += len(set(nearest.tolist()) & {int(image.image_id[6:]) for image in answer})
    return hit / (LIMIT * len(queries))


def measure(folder: Path, count: int, *, alone: bool) -> None:
    """Load, search, open; prints what it finds."""
    stored, rows, queries = images(count), vectors(count, 2), vectors(QUERIES + WARM_UP, 3)
    embedded, engines = Embedded(folder / "embedded"), dict[str, LocalMode | Embedded]()
    if not alone:
        engines["local mode"] = LocalMode(folder / "local")
    engines["embedded"] = embedded
    if not (folder / "embedded/gallery/current").exists():
        for name, engine in engines.items():
            took = seconds(partial(engine.load, stored, rows))
            print(f"{name:28} loads {count / took:,.0f} images/s", flush=True)
        print(f"graph, checks and sealing    {seconds(lambda: embedded.publish(stored)):.1f} s")
    opened_s, waited_s = with_waits(embedded.reader.current)
    print(f"opened in                    {opened_s:.3f} s; meanwhile, another thread waited for")
    print(f"                             {waited_s:.3f} s at the longest", flush=True)
    for where in (None, TENTH):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        found: list[list[GalleryImage]] = []
        for at in range(len(queries)):
            for name, engine in engines.items():
                started, cpu = time.perf_counter(), time.process_time()
                answer = engine.search(queries[at : at + 1], where)
                times[name].append((time.perf_counter() - started, time.process_time() - cpu))
            found.append(answer)
        for name, measured in times.items():
            percentiles(f"{name}, {'all' if where is None else 'a tenth'}", measured[WARM_UP:])
        if where is None:
            print(
                f"recall@{LIMIT}                   {recall(found, queries, rows):.4f}", flush=True
            )
    for engine in engines.values():
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.folder or Path(temporary), options.images, alone=options.alone)


if __name__ == "__main__":
    main()
