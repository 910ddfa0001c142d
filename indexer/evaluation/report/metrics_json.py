"""An evaluation as `metrics.json` keeps it: every figure of the report, for programs to read."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from indexer.evaluation.results import FamilyFigures, Results, Row, Score
from models.metrics.bootstrap import LEVEL, RESAMPLES


def record(results: Results, api: Mapping[str, Any], made_at: datetime) -> dict[str, Any]:
    """The whole evaluation as JSON values.

    Args:
        results: The evaluation.
        api: What the API says of itself: encoder, reranker, their fingerprints; JSON values.
        made_at: When the report is made; answers may be older.
    """
    benchmark = results.benchmark
    return {
        "benchmark": {
            "name": benchmark.name,
            "queries": len(benchmark.queries),
            "depth": benchmark.depth,
            "headline": benchmark.headline or None,
            "measures": [measure.name for measure in benchmark.measures],
            "averages": {name: list(parts) for name, parts in benchmark.averages.items()},
            "notes": list(benchmark.notes),
        },
        "made_at": made_at.isoformat(timespec="seconds"),
        "api": dict(api),
        "interval": {
            "method": "percentile bootstrap over queries",
            "level": LEVEL,
            "resamples": RESAMPLES,
        },
        "baseline": results.baseline.name,
        "configurations": [
            {**_configuration(row), **_families(results, row)} for row in results.rows
        ],
    }


def facts(recorded: Mapping[str, Any]) -> dict[str, str]:
    """What stands on top of a report, from `record`: name → value, nested names put together."""
    return {
        "benchmark": recorded["benchmark"]["name"],
        "queries": str(recorded["benchmark"]["queries"]),
        "report made at": recorded["made_at"],
        "compared with": recorded["baseline"],
        **_flat(recorded["api"]),
    }


def _configuration(row: Row) -> dict[str, Any]:
    return {
        "name": row.configuration.name,
        "composition": row.configuration.composition,
        "rerank_depth": row.configuration.rerank_depth,
        "attribute_check": "demote" if row.configuration.attribute_check else "off",
        "queries": row.queries,
        "measures": _scores(row.measures),
        "averages": _scores(row.averages),
        "headline_minus_baseline": _score(row.difference) if row.difference else None,
        "headline_by_kind": _scores(row.kinds),
        "latency_ms": {"p50": row.latency.p50_ms, "p95": row.latency.p95_ms},
        "degraded": {
            "answers": row.degraded,
            "share": row.degraded / row.queries,
            "reasons": dict(row.reasons),
        },
    }


def _families(results: Results, row: Row) -> dict[str, Any]:
    """Figures by family of phrasings; nothing where the benchmark tells none apart."""
    families = results.families.get(row.configuration.name)
    if families is None:
        return {}
    return {"families": {name: _family(figures) for name, figures in families.items()}}


def _family(figures: FamilyFigures) -> dict[str, Any]:
    flags = figures.flags
    return {
        "queries": figures.queries,
        "recalls": _scores(figures.recalls),
        "flagged": {**asdict(flags), "of_wrong": flags.of_wrong, "of_right": flags.of_right},
    }


def _scores(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {name: _score(score) for name, score in scores.items()}


def _score(score: Score) -> dict[str, float]:
    return {**asdict(score.interval), "queries": score.queries}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        else:
            flat[prefix + name] = "none" if value is None else str(value)
    return flat
