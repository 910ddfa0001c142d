"""What is counted and timed of searches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

SEARCHES = Counter(
    "cir_searches_total",
    "Searches by outcome: answered, degraded, deadline, failed, refused, abandoned",
    ["outcome"],
)
REASONS = Counter("cir_coverage_reasons_total", "Reasons given in coverage", ["reason"])
STAGE_SECONDS = Histogram(
    "cir_search_stage_seconds", "Time per stage of a search", ["stage"], buckets=_BUCKETS_S
)
IN_FLIGHT = Gauge("cir_searches_in_flight", "Searches being answered now")


class StageTimer:
    """Times the stages of one search."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside; a stage entered twice adds up."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage what was timed elsewhere."""
        STAGE_SECONDS.labels(name).observe(seconds)
        self._stages_ms[name] = round(self._stages_ms.get(name, 0.0) + seconds * 1000, 2)

    def restart(self) -> None:
        """Count the total from now: the upload is here. Stages before it stay beside the total."""
        self._started = time.perf_counter()

    def elapsed_s(self) -> float:
        """How long the search has taken, in seconds."""
        return time.perf_counter() - self._started

    def timings(self) -> dict[str, float]:
        """Stage → milliseconds so far, and the `total`; stages may overlap."""
        return {**self._stages_ms, "total": round(self.elapsed_s() * 1000, 2)}
