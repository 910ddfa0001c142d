"""Runs a benchmark against an API: every configuration in turn, resumable; then the report."""

import asyncio
import hashlib
import io
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from tqdm import tqdm

from indexer.evaluation.client import SearchClient, ask_all, open_client
from indexer.evaluation.report.writer import table, write
from indexer.evaluation.results import Results, Run
from indexer.evaluation.types import Answer, Benchmark, BenchmarkError, Configuration, Query
from models.contracts.gallery import Facet, address_of

_WORKER_MISSING, _WORKER_WAIT_S = "reranker_unavailable", 30


@dataclass(frozen=True)
class Plan:
    """How to run a benchmark.

    Attributes:
        api: Address of the API.
        configurations: Ways to search, in the order of the tables.
        out: Folder for answers, report and submissions.
        concurrency: Requests at a time; latencies are what they are under that load.
        timeout_ms: The deadline of each search.
        baseline: Name of the configuration that others are compared with; empty: the first.
    """

    api: str
    configurations: Sequence[Configuration]
    out: Path
    concurrency: int = 4
    timeout_ms: int = 60_000
    baseline: str = ""


def evaluate(plan: Plan, benchmark: Benchmark) -> list[str]:
    """Ask, score and write the report, or the submission where the answers are secret.

    Returns:
        What to print.

    Raises:
        SearchFailed: The API went away or refused a query; what was answered is kept.
        BenchmarkError: The gallery in service is not the benchmark's.
    """
    names = [configuration.name for configuration in plan.configurations]
    if plan.baseline and plan.baseline not in names:
        raise BenchmarkError(f"no {plan.baseline} among the configurations: {', '.join(names)}")
    about, answers = asyncio.run(_ask(plan, benchmark))
    lines = []
    if benchmark.write_submission is not None:
        lines += _submissions(plan, benchmark, answers)
    if benchmark.measures:
        runs = [
            Run.scored(benchmark, configuration, answers[configuration.name])
            for configuration in plan.configurations
        ]
        results = Results(benchmark, runs, plan.baseline)
        facts = {**about, "reranker": _rerankers(answers), "concurrency": plan.concurrency}
        with httpx.Client(base_url=plan.api) as http:
            files = write(
                results,
                plan.out,
                made_at=datetime.now(UTC).replace(microsecond=0),
                api=facts,
                image_of=lambda image_id: _thumbnail(http, image_id),
            )
        lines += [table(results), f"report: {files[0]}"]
    return lines


def read_gallery(
    api: str,
) -> tuple[list[tuple[str, dict[str, Any]]], list[Facet], str | None]:
    """Images with their attributes, facets and noun facet of the gallery in service.

    Raises:
        SearchFailed: The API does not answer.
    """

    async def read() -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
        async with open_client(api, 1, 60_000) as client:
            return await client.gallery_images(), await client.describe()

    images, gallery = asyncio.run(read())
    facets = [Facet.model_validate(facet) for facet in gallery["facets"]]
    return images, facets, gallery["noun_facet"]


async def _ask(plan: Plan, benchmark: Benchmark) -> tuple[dict[str, Any], dict[str, list[Answer]]]:
    answers = {}
    async with open_client(plan.api, plan.concurrency, plan.timeout_ms) as client:
        gallery = await client.describe()
        check_gallery(benchmark, {image_id for image_id, _ in await client.gallery_images()})
        about = {
            "gallery images": gallery["images"],
            "gallery built at": gallery["built_at"],
            "encoder": gallery["encoder_fingerprint"],
        }
        for configuration in plan.configurations:
            answers[configuration.name] = await _ask_one_way(
                client, plan, benchmark, configuration, about
            )
    return about, answers


async def _ask_one_way(
    client: SearchClient,
    plan: Plan,
    benchmark: Benchmark,
    configuration: Configuration,
    about: Mapping[str, Any],
) -> list[Answer]:
    """All queries, searched one way; those answered earlier are taken over."""
    decides = {
        "benchmark": benchmark.name,
        "queries": _digest(benchmark),
        "depth": benchmark.depth,
        "timeout_ms": plan.timeout_ms,
        "concurrency": plan.concurrency,
        "attribute_check": configuration.attribute_check,
        **about,
    }
    file = AnswerFile(plan.out / "answers" / f"{configuration.name}.jsonl", decides)
    waiting = [query for query in benchmark.queries if query.query_id not in file.answers]
    how = {"depth": benchmark.depth, "timeout_ms": plan.timeout_ms}
    try:
        if waiting:
            await _warm_up(client, waiting[0], configuration, **how)
        done = len(file.answers)
        with tqdm(total=len(benchmark.queries), initial=done, desc=configuration.name) as bar:
            asking = ask_all(client, waiting, configuration, concurrency=plan.concurrency, **how)
            async for answer in asking:
                file.add(answer)
                bar.update()
    finally:
        file.close()
    return list(file.answers.values())


async def _warm_up(
    client: SearchClient, query: Query, configuration: Configuration, depth: int, timeout_ms: int
) -> None:
    """Ask once for nothing: what is done once, at the first search, is not a query's fault.

    A worker that was started beside the API comes up later; it is waited for, 30 s at most.
    """
    give_up = time.monotonic() + _WORKER_WAIT_S
    while True:
        answer = await client.ask(query, configuration, depth, timeout_ms)
        if _WORKER_MISSING not in answer.reasons or time.monotonic() > give_up:
            return
        await asyncio.sleep(1)


def check_gallery(benchmark: Benchmark, image_ids: Collection[str]) -> None:
    """Refuse a gallery that lacks images of the benchmark: the figures would mean nothing.

    Raises:
        BenchmarkError: Images are missing; the message counts them.
    """
    needed = {
        image_id
        for query in benchmark.queries
        for image_id in (query.reference_id, *query.relevant_ids, *query.among)
    }
    if missing := sorted(needed - set(image_ids)):
        raise BenchmarkError(
            f"the gallery in service lacks {len(missing):,} of the {len(needed):,} images that "
            f"{benchmark.name} speaks of, first {missing[0]!r}; build it from the benchmark's own "
            "images"
        )


def only_families(benchmark: Benchmark, names: Sequence[str]) -> Benchmark:
    """A benchmark with the queries of some families only; the notes say so. No names: all.

    Raises:
        BenchmarkError: It has no such family.
    """
    if not names:
        return benchmark
    there_are = list(dict.fromkeys(q.family for q in benchmark.queries if q.family))
    if unknown := [name for name in names if name not in there_are]:
        raise BenchmarkError(
            f"{benchmark.name} has no family {unknown[0]!r}; "
            f"there are: {', '.join(there_are) or 'none'}"
        )
    return replace(
        benchmark,
        queries=[query for query in benchmark.queries if query.family in names],
        notes=[f"Only queries of the families {', '.join(names)}.", *benchmark.notes],
        write_submission=None,
    )


def only_first(benchmark: Benchmark, count: int | None) -> Benchmark:
    """A benchmark with its first queries only; the notes say so."""
    if count is None or count >= len(benchmark.queries):
        return benchmark
    note = f"Only the first {count} of {len(benchmark.queries)} queries."
    return replace(
        benchmark, queries=benchmark.queries[:count], notes=[note, *benchmark.notes],
        write_submission=None,
    )  # fmt: skip


def _submissions(
    plan: Plan, benchmark: Benchmark, answers: Mapping[str, Sequence[Answer]]
) -> list[str]:
    lines = []
    for name, given in answers.items():
        assert benchmark.write_submission is not None
        ranked = {answer.query_id: answer.ranked_ids for answer in given}
        folder = plan.out / "submission" / name
        folder.mkdir(parents=True, exist_ok=True)
        lines += [f"submission: {path}" for path in benchmark.write_submission(ranked, folder)]
    return lines


def _rerankers(answers: Mapping[str, Sequence[Answer]]) -> str:
    versions = {answer.reranker for given in answers.values() for answer in given} - {None}
    return ", ".join(sorted(map(str, versions))) or "none"


def _digest(benchmark: Benchmark) -> str:
    return hashlib.sha256(repr(list(benchmark.queries)).encode()).hexdigest()[:16]


def _thumbnail(http: httpx.Client, image_id: str) -> Image.Image | None:
    try:
        response = http.get(f"/thumbnails/{address_of(image_id)}")
        if not response.is_success:
            return None
        with Image.open(io.BytesIO(response.content)) as image:
            return image.convert("RGB")
    except (httpx.HTTPError, OSError):
        return None  # a report without a picture is better than none


class AnswerFile:
    """A JSONL file: first what was asked and of whom, then an answer per line.

    Attributes:
        answers: Query id → answer, those that were there already included.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Open a file, or begin it.

        Args:
            path: The file; its folder is made if absent.
            about: What decides the answers: benchmark, gallery, depth; JSON values.

        Raises:
            BenchmarkError: The file holds the answers to something else.
        """
        self.answers: dict[str, Answer] = {}
        whole_bytes = self._read(path, about) if path.exists() else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(whole_bytes)  # the torn last line of a killed run goes, nothing else
        if whole_bytes == 0:
            self._append(_line(about))

    def add(self, answer: Answer) -> None:
        """Keep an answer; it is on disk when this returns."""
        self._append(_line(asdict(answer)))
        self.answers[answer.query_id] = answer

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()

    def _read(self, path: Path, about: Mapping[str, Any]) -> int:
        """Take over the whole lines of an earlier run; returns how many bytes they are."""
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if not lines:
            return 0
        if (found := json.loads(lines[0])) != json.loads(_line(about)):
            changed = [key for key in about if found.get(key) != about[key]]
            raise BenchmarkError(
                f"{path} holds answers to something else (other {', '.join(changed) or 'fields'}); "
                "give another --out, or delete it to ask again"
            )
        for line in lines[1:]:
            fields = json.loads(line)
            answer = Answer(
                query_id=fields["query_id"],
                ranked_ids=tuple(fields["ranked_ids"]),
                latency_ms=fields["latency_ms"],
                reasons=tuple(fields["reasons"]),
                flags=tuple(fields["flags"]),
                reranker=fields["reranker"],
            )
            self.answers[answer.query_id] = answer
        return sum(len(line) for line in lines)


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
