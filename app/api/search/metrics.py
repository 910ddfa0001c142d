"""What is counted and timed of searches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

SEARCHES = Counter(
    "cir_searches_total",
    "Searches by outcome: answered, degraded, deadline, failed, refused, abandoned",
    ["outcome"],
)
REASONS = Counter("cir_coverage_reasons_total", "Reasons given in coverage", ["reason"])
STAGE_SECONDS = Histogram("cir_stage_seconds", "Time per stage", ["stage"], buckets=_BUCKETS)
IN_FLIGHT = Gauge("cir_searches_in_flight", "Searches being answered now")


class StageTimer:
    """Times the stages of one search.

    Attributes:
        timings_ms: Stage → milliseconds, for the answer.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside; a stage entered twice adds up."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            STAGE_SECONDS.labels(name).observe(seconds)
            self.timings_ms[name] = round(self.timings_ms.get(name, 0.0) + seconds * 1000, 2)

    def restart(self) -> None:
        """Count from now: the request is here. What was timed before stays, beside the total."""
        self._began = time.perf_counter()

    def elapsed_s(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self._began

    def finish(self) -> dict[str, float]:
        """All stages so far and the total, in milliseconds; stages may overlap."""
        return {**self.timings_ms, "total": round(self.elapsed_s() * 1000, 2)}
