"""What understanding words costs one process: memory, seconds at the start, milliseconds per text.

    python -m tests.benchmarks.text_side [--texts texts.jsonl]

Everything in one process, one after the other: the imports and the first gallery's linker (with
the sentence encoder and the word lists of four languages), then texts that were never read before.
Times are the process's own (CPU), on one thread, so that what else the machine does counts little.
A line of the file is an object with `text`; without a file, templates over the gallery's values.
"""

import argparse
import json
import os
import resource
import time
from itertools import product
from pathlib import Path
from statistics import quantiles

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TEMPLATES = (
    "the same but {}", "anything but {} please", "i'd like it {}", "not {}, something {}",
    "eher {} bitte", "plutôt {}", "mejor {}", "make it {} and a bit cheaper", "blorptastic and {}",
)  # fmt: skip


def resident_mb() -> float:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path)
    options = parser.parse_args()
    from models.contracts.gallery import Facet  # noqa: PLC0415  # what any process has

    before_mb, started = resident_mb(), time.process_time()
    from models.query.text.conditions import read_conditions  # noqa: PLC0415
    from models.query.text.grammar import read_instructions  # noqa: PLC0415
    from models.query.text.linking import Linker  # noqa: PLC0415
    from models.query.text.sentence_encoder import sentence_encoder  # noqa: PLC0415

    colours = (
        "red",
        "blue",
        "green",
        "white",
        "black",
        "grey",
        "brown",
        "pink",
        "purple",
        "orange",
    )
    kinds = ("sofa", "lamp", "mug", "hat", "shoe", "umbrella", "car", "bag", "chair", "table")
    patterns = ("plain", "striped", "dotted", "checked")
    places = ("snow", "beach", "night", "room", "forest", "desert")
    facets = (
        Facet(name="colour", kind="keyword", values=colours),
        Facet(name="pattern", kind="keyword", values=patterns),
        Facet(name="category", kind="keyword", values=kinds, multi_valued=True),
        Facet(name="setting", kind="keyword", values=places, context=True),
        Facet(name="price", kind="number"),
    )
    linker = Linker(facets, "category", sentence_encoder())
    ready_s = time.process_time() - started

    values = ("crimson", "spotty", "a couch", "at the seaside", "navy", "gestreift", "a bycicle")
    texts = [t.replace("{}", value) for t, value in product(_TEMPLATES, values)]
    if options.texts is not None:
        rows = options.texts.read_text("utf-8").splitlines()
        texts = [json.loads(row)["text"] for row in rows]
    took_ms = []
    for text in texts:
        began = time.process_time()
        found = read_conditions(text, facets, {"price": 50}, linker.mend)
        instructions = read_instructions(found.rest, linker)
        words = [token.text for token in instructions.not_understood][:8]
        linker.suggestions(words, 3)
        took_ms.append(1000 * (time.process_time() - began))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    points = quantiles(took_ms, n=20)
    print(f"ready after {ready_s:.2f} s; the slowest text took {max(took_ms):.0f} ms")
    print(f"memory: {resident_mb() - before_mb:.0f} MB more, {peak_mb - before_mb:.0f} at the peak")
    print(f"{len(texts)} texts, each new: p50 {points[9]:.2f} ms, p95 {points[18]:.2f} ms")


if __name__ == "__main__":
    main()
