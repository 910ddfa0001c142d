"""The worker's counters, gauges and histograms behind `/metrics`."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

JOBS = Counter(
    "cir_worker_jobs_total",
    "Jobs by how they ended: complete, deadline, shutting_down, failed, cancelled (client gone)",
    ["job", "status"],
)
QUEUED_VISUAL_TOKENS = Gauge("cir_worker_queued_visual_tokens", "Visual tokens not yet scored")
QUEUE_WAIT_SECONDS = Histogram(
    "cir_worker_queue_wait_seconds", "Admission to first device step", ["job"], buckets=_SECONDS
)
STEP_SECONDS = Histogram(
    "cir_worker_step_seconds",
    "Time on the device per step: compose, prefill (of a query) or score (a chunk)",
    ["step"],
    buckets=_SECONDS,
)
CANDIDATES_SCORED = Counter("cir_worker_candidates_scored_total", "Candidates scored")
CANDIDATES_FAILED = Counter("cir_worker_candidates_failed_total", "Candidates without a score")
PREFIX_REUSED = Counter(
    "cir_worker_prefix_reused_total",
    "Work found in the prefix cache: prefill, intent or target",
    ["part"],
)
FEATURE_CACHE = Counter(
    "cir_worker_feature_cache_total", "Look-ups of visual features: hit or miss", ["result"]
)
REJECTED = Counter("cir_worker_rejected_total", "Requests refused because the queue was full")
