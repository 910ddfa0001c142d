"""What a build did, and what it could not do."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from indexer.pipeline.prepare import SkippedRow
from indexer.pipeline.source import column_lines
from models.contracts.gallery import Facet
from models.errors import JobError

_MAX_WORDS = 12  # of a made facet, in a line


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        rows: Images the source lists.
        indexed: Images in the gallery now.
        embedded: Of these, embedded in this run.
        reused: Of these, taken over from earlier builds with the embedding they had.
        given: Of these, with the embedding that came with their row.
        made: The facets that were made of what the encoder sees, as they are stored.
        refused: Why the gallery was not put in service; None: it was.
        passed_through: The manifest's columns that could be attributes and are none.
        unused_copies: Copies in the image store that this gallery does not use: of images that are
            gone, at other sizes, or of another gallery.
        skipped: Rows not indexed, with reasons; `duplicate` are byte-identical to an earlier row.
        seconds: Where the time of the encoder's thread went: `start` (resume, schema), `images`
            (waiting for files), `encode`, `write` (waiting for the gallery's engine), `facets`
            (making those that the catalogue lacks), `finish` (verify, publish), `total`.
    """

    rows: int
    indexed: int = 0
    embedded: int = 0
    reused: int = 0
    given: int = 0
    made: list[Facet] = field(default_factory=list)
    refused: str | None = None
    passed_through: list[str] = field(default_factory=list)
    unused_copies: int = 0
    skipped: list[SkippedRow] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage's `seconds`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - started

    @property
    def failed(self) -> int:
        """Rows whose file could not be used; duplicates are not failures."""
        return sum(skip.reason != "duplicate" for skip in self.skipped)

    def as_dict(self) -> dict[str, Any]:
        """For the report file."""
        return {
            "rows": self.rows,
            "indexed": self.indexed,
            "embedded": self.embedded,
            "reused": self.reused,
            "given": self.given,
            "made_facets": {facet.name: list(facet.values) for facet in self.made},
            "refused": self.refused,
            "passed_through": self.passed_through,
            "unused_copies": self.unused_copies,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "skipped": [asdict(skip) for skip in self.skipped],
        }

    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        total = max(self.seconds["total"], 1e-9)
        yield (
            f"{self.indexed} of {self.rows} images in the gallery "
            f"({self.embedded} embedded, {self.reused} taken over"
            f"{f', {self.given} given' if self.given else ''}) in {total:.1f} s"
        )
        if self.embedded and self.seconds["encode"]:
            yield (
                f"{self.embedded / total:.0f} images/s over all; the encoder alone "
                f"{self.embedded / self.seconds['encode']:.0f} images/s"
            )
        shares = ("start", "images", "encode", "write", "facets", "finish")
        yield "time: " + ", ".join(f"{k} {self.seconds[k] / total:.0%}" for k in shares)
        if self.made:
            yield "facets made of words that the encoder sees in these images, for intersections:"
        for facet in self.made:
            words = ", ".join(facet.values[:_MAX_WORDS])
            yield f"  {facet.name}: {words}{', …' if facet.values[_MAX_WORDS:] else ''}"
        if self.unused_copies:
            yield (
                f"{self.unused_copies} copies in the image store are of no image in this gallery, "
                "or at other sizes than its own"
            )
        yield from column_lines(self.passed_through)
        yield from self.skip_lines()

    def skip_lines(self) -> Iterator[str]:
        """What was skipped and why, in sentences."""
        for reason, count in Counter(skip.reason for skip in self.skipped).most_common():
            yield f"skipped, {reason.replace('_', ' ')}: {count}"
            for skip in islice((s for s in self.skipped if s.reason == reason), 5):
                yield f"  {skip.image_id}: {skip.detail}"
            if count > 5:
                yield f"  … and {count - 5} more, see the report file"


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report file.

    Raises:
        JobError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:
        raise JobError(f"the report {path} cannot be written: {error}") from error
