"""A change to a gallery, killed: what is in service then, and whether the next change goes on.

    python -m tests.benchmarks.faults --kills 50

A process syncs a gallery to manifest after manifest and prunes it; SIGKILL meets it at a random
moment of each. Then the gallery must be the one before or the one after, never half of one, and the
same change, made again, must end where a build of the manifest would. With `QDRANT_URL` this is
done on that server, without on the embedded engine.
"""

import argparse
import hashlib
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from indexer.gallery import open_reader, open_writer
from indexer.pipeline.build import build_gallery
from indexer.pipeline.changes.held import read_held
from indexer.pipeline.changes.plan import apply, plan_sync
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage
from models.datasets.rows import ImageRow
from models.encoder.encoder import ImageTextEncoder
from tests.conftest import indexer_settings
from tests.indexer.pipeline.test_build import noise
from tests.models.encoder.test_encoder import tiny_model

PICTURES, IDS = 60, 40
COLOURS = ("red", "blue", "green")

Described = dict[str, tuple[str, Any]]  # image id → content hash, attributes


def manifest(pictures: Sequence[Path], rng: random.Random) -> list[ImageRow]:
    """Most of the ids, with pictures and attributes that change from one manifest to the next."""
    ids = rng.sample(range(IDS), rng.randint(IDS - 8, IDS))
    shown = rng.sample(pictures, len(ids))
    return [
        ImageRow(f"id-{number}", str(path), attributes={"colour": rng.choice(COLOURS)})
        for number, path in zip(ids, shown, strict=True)
    ]


def described(rows: Sequence[ImageRow]) -> Described:
    """What a gallery of these rows holds."""
    return {
        row.image_id: (
            hashlib.sha256(Path(row.location).read_bytes()).hexdigest(),
            row.attributes,
        )
        for row in rows
    }


def in_service(settings: IndexerSettings) -> Described:
    """What readers find; each image once, or this fails."""
    reader = open_reader(settings.gallery)
    try:
        current = reader.current()
        images: list[GalleryImage] = reader.scroll(current, 1000).images
        assert reader.count(current) == len(images)
    finally:
        reader.close()
    found = {image.image_id: (image.content_hash, image.attributes) for image in images}
    assert len(found) == len(images), "an image is there twice"
    return found


def change(settings: IndexerSettings, rows: Sequence[ImageRow], ready: Event | None = None) -> None:
    """Sync the gallery to these rows and remove what is left over, `ready` being set before."""
    encoder = ImageTextEncoder(settings.encoder)
    if ready is not None:
        ready.set()
    writer = open_writer(settings.gallery)
    try:
        plan = plan_sync(rows, read_held(writer, encoder.fingerprint), encoder, settings)
        if not plan.changes_nothing:
            apply(plan, encoder, writer, settings)
        for each in writer.generations():
            if each.state == "replaced":
                writer.drop(each.name)
    finally:
        writer.close()


def run_and_kill(
    settings: IndexerSettings, rows: Sequence[ImageRow], after_s: float | None
) -> float:
    """A process that makes the change, killed so many seconds after it began; how long it ran.

    Args:
        settings: Where the gallery is.
        rows: What it shall be.
        after_s: None: it may end.
    """
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ready = context.Event()
    process = context.Process(target=change, args=(settings, rows, ready))
    process.start()
    assert ready.wait(120), "it never began"
    began = time.monotonic()
    process.join(after_s)
    if process.is_alive():
        process.kill()
    process.join()
    if after_s is None:
        assert process.exitcode == 0
    return time.monotonic() - began


def kill_and_go_on(settings: IndexerSettings, root: Path, kills: int, seed: int) -> Counter[str]:
    """Kill so many changes at random moments, and make each again.

    Returns:
        How often the gallery was then the one `before`, and the one `after`.
    """
    rng, pictures = random.Random(seed), [root / f"{number}.png" for number in range(PICTURES)]
    for number, path in enumerate(pictures):
        noise(number).save(path)
    rows = manifest(pictures, rng)
    writer = open_writer(settings.gallery)
    build_gallery(rows, ImageTextEncoder(settings.encoder), writer, settings)
    writer.close()
    before, rows = described(rows), manifest(pictures, rng)
    takes_s = run_and_kill(settings, rows, None)
    found = Counter[str]()
    for _ in range(kills):
        before, rows = described(rows), manifest(pictures, rng)
        run_and_kill(settings, rows, rng.uniform(0, takes_s))
        now, after = in_service(settings), described(rows)
        assert now in (before, after), "half of a gallery is in service"
        found["after" if now == after else "before"] += 1
        change(settings, rows)
        assert in_service(settings) == after, "the change that was made again ended elsewhere"
    return found


def main() -> None:
    """Kill, check, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = indexer_settings(root, encoder=tiny_model(root / "tiny"))
        found = kill_and_go_on(settings, root, options.kills, options.seed)
    print(
        f"{options.kills} kills: {found['before']} times the gallery before was in service, "
        f"{found['after']} times the one after; every change went on"
    )


if __name__ == "__main__":
    main()
