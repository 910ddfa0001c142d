"""The worker's counters, gauges and histograms behind `/metrics`."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

QUEUED_VISUAL_TOKENS = Gauge("cir_worker_queued_visual_tokens", "Visual tokens not yet judged")
QUEUE_WAIT_SECONDS = Histogram(
    "cir_worker_queue_wait_seconds", "Admission to first device step", ["job"], buckets=_SECONDS
)
STEP_SECONDS = Histogram(
    "cir_worker_step_seconds",
    "Time on the device per step: compose, open (the prefix of a query) or chunk",
    ["step"],
    buckets=_SECONDS,
)
PAIRS = Counter("cir_worker_pairs_total", "Candidates scored")
PREFIX_REUSED = Counter(
    "cir_worker_prefix_reused_total", "Work found in the prefix cache", ["part"]
)
FEATURE_CACHE_HITS = Counter("cir_worker_feature_cache_hits_total", "Candidates not seen anew")
FEATURE_CACHE_MISSES = Counter("cir_worker_feature_cache_misses_total", "Candidates to see anew")
REJECTED = Counter("cir_worker_rejected_total", "Requests refused because the queue was full")
EXPIRED = Counter("cir_worker_expired_total", "Jobs ended by their deadline", ["job"])
DROPPED = Counter("cir_worker_dropped_total", "Jobs whose client was gone", ["job"])
HANDED_BACK = Counter("cir_worker_handed_back_total", "Jobs ended by a shutdown", ["job"])
FAILED_JOBS = Counter("cir_worker_failed_total", "Jobs on which the reranker failed", ["job"])
FAILED_CANDIDATES = Counter("cir_worker_failed_candidates_total", "Candidates not judged")
