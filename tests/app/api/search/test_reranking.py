"""The use case with a reranker, on fakes: who gives the intent, what is scored, what is said."""

import asyncio
import dataclasses
from contextlib import aclosing
from typing import Any

import pytest
from PIL import Image

from app.api.search.limits import SearchLimits
from app.api.search.metrics import StageTimer
from app.api.search.reranking import RerankingStage
from app.api.search.service import SearchService
from app.api.search.types import (
    IntentResolved,
    RerankProgress,
    Retrieved,
    SearchEvent,
    SearchOptions,
    SearchQuery,
    SearchResult,
    Upload,
)
from app.web.errors import (
    CandidatesFailed,
    RerankerError,
    RerankerFailed,
    RerankerOverloaded,
    RerankerUnavailable,
    RerankTimeout,
)
from models.contracts.intent import Intent, IntentSource
from tests.fakes import (
    FakeGallery,
    FakeQueryEncoder,
    FakeReferenceImages,
    FakeReranker,
    gallery_image,
)

IMAGES = [gallery_image(f"image-{number}", f"{number:064x}") for number in range(6)]
LIMITS = SearchLimits(
    max_top_k=50,
    max_retrieval_depth=200,
    timeout_ms=10_000,
    max_concurrent_searches=2,
    default_rerank_depth=3,
)


def service(
    reranker: FakeReranker,
    source: IntentSource = "facets",
    compose_timeout_ms: int = 5000,
    composes: bool = True,
    copies: FakeReferenceImages | None = None,
) -> SearchService:
    return SearchService(
        FakeQueryEncoder(source),
        FakeGallery(IMAGES),
        LIMITS,
        copies or FakeReferenceImages(),
        RerankingStage(reranker, composes, compose_timeout_ms),
    )


def query(reference: Any = "image-0", **options: Any) -> SearchQuery:
    return SearchQuery(reference, "the same but blue", SearchOptions(**options))


def search(reranker: FakeReranker, asked: SearchQuery | None = None, **setup: Any) -> SearchResult:
    return asyncio.run(service(reranker, **setup).search(asked or query(), StageTimer()))


def found(outcome: SearchResult) -> list[int]:
    return [int(one.candidate.image.image_id.removeprefix("image-")) for one in outcome.ranked]


def test_the_head_is_in_the_rerankers_order_and_the_tail_in_the_coarse_one() -> None:
    outcome = search(FakeReranker())
    assert found(outcome) == [3, 2, 1, 4, 5]
    assert [one.retrieval_rank for one in outcome.ranked] == [3, 2, 1, 4, 5]
    assert [one.rerank_score for one in outcome.ranked] == [0.4, 0.2, 0.0, None, None]
    assert (outcome.reranked, outcome.degraded, outcome.reasons) == (3, False, [])
    assert outcome.reranker == "fake-reranker-1"


@pytest.mark.parametrize("depth", [1, 2, 5, 100])
def test_as_many_are_scored_as_asked_and_found(depth: int) -> None:
    assert search(FakeReranker(), query(rerank_depth=depth)).reranked == min(depth, 5)


@pytest.mark.parametrize(
    ("asked", "scored"), [({"rerank_depth": 150}, 150), ({}, 120), ({"retrieval_depth": 90}, 90)]
)
def test_none_of_those_to_re_rank_is_left_out_unsaid(asked: dict[str, int], scored: int) -> None:
    """Neither of those asked for nor of the service's own default."""
    images = [gallery_image(f"image-{n}", f"{n:064x}") for n in range(160)]
    limits = dataclasses.replace(LIMITS, default_rerank_depth=120)
    searching = SearchService(
        FakeQueryEncoder(), FakeGallery(images), limits, FakeReferenceImages(),
        RerankingStage(FakeReranker()),
    )  # fmt: skip
    outcome = asyncio.run(searching.search(query(**asked), StageTimer()))
    assert (outcome.reranked, outcome.degraded) == (scored, False)


def test_no_depth_turns_re_ranking_off_but_not_its_intents() -> None:
    reranker = FakeReranker()
    outcome = search(reranker, query(rerank_depth=0))
    assert reranker.targets == []
    assert outcome.intent is not None
    assert outcome.intent.source == "mllm"
    assert (outcome.reasons, outcome.degraded) == ([], False)
    assert outcome.reranker == "fake-reranker-1"


def test_neither_intents_nor_scores_wanted_means_the_reranker_is_not_asked() -> None:
    reranker = FakeReranker()
    outcome = search(reranker, query(rerank_depth=0, composition="union"))
    assert (reranker.composed, reranker.targets, outcome.reranker) == ([], [], None)


def test_the_clients_roles_come_before_the_rerankers() -> None:
    reranker = FakeReranker()
    outcome = search(reranker, query(intent=Intent(target="a blue chair")))
    assert outcome.intent is not None
    assert outcome.intent.source == "client"
    assert reranker.composed == []
    assert reranker.targets == ["a blue chair"]


def test_the_rerankers_roles_come_before_the_facets() -> None:
    reranker = FakeReranker()
    outcome = search(reranker)
    assert outcome.intent is not None
    assert outcome.intent.source == "mllm"
    assert reranker.targets == ["a blue sofa"]


def test_an_upload_is_re_ranked_with_a_copy_of_itself() -> None:
    reranker = FakeReranker()
    search(reranker, query(Upload(Image.new("RGB", (8, 8)), "f" * 64)))
    search(reranker)
    assert [asked.reference_jpeg for asked in reranker.composed] == [b"uploaded", b"stored"]


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (RerankerUnavailable("gone"), ["reranker_unavailable", "intent_fallback"]),
        (RerankerOverloaded("full"), ["reranker_overloaded", "intent_fallback"]),
        (RerankerFailed("broken"), ["reranker_failed", "intent_fallback"]),
        (RerankTimeout("late"), ["intent_fallback"]),
    ],
)
@pytest.mark.parametrize(("source", "target"), [("facets", "the same but blue"), ("none", None)])
def test_the_facets_step_in_for_the_reranker(
    error: RerankerError, reasons: list[str], source: IntentSource, target: str | None
) -> None:
    reranker = FakeReranker()
    reranker.compose_error = error
    outcome = search(reranker, source=source)
    assert outcome.intent is not None
    assert outcome.intent.source == source
    assert (outcome.reasons, outcome.degraded) == (reasons, True)
    assert reranker.targets == [target]  # without an intent, the reranker composes by itself


def test_when_late_the_reranker_is_asked_for_no_intent_and_that_is_said() -> None:
    """The time that the candidates need, as earlier searches tell, is kept for them."""
    reranker = FakeReranker(compose_s=60)
    encoder = FakeQueryEncoder(delay_s=0.5)
    searches = SearchService(
        encoder, FakeGallery(IMAGES), LIMITS, FakeReferenceImages(), RerankingStage(reranker)
    )

    async def two_searches() -> SearchResult:
        await searches.search(query(timeout_ms=2000), StageTimer())  # from which it learns
        encoder.delay_s = 0
        return await searches.search(query(timeout_ms=400), StageTimer())

    outcome = asyncio.run(two_searches())
    assert len(reranker.composed) == 1
    assert outcome.reasons == ["deadline", "intent_fallback"]
    assert len(outcome.ranked) == 5


def test_a_slow_intent_is_not_waited_for() -> None:
    outcome = search(FakeReranker(compose_s=60), compose_timeout_ms=50)
    assert outcome.intent is not None
    assert outcome.intent.source == "facets"
    assert outcome.reasons == ["intent_fallback"]
    assert outcome.reranked == 3


def test_an_intent_never_takes_more_than_half_of_what_is_left() -> None:
    asked = query(timeout_ms=2000)
    outcome = search(FakeReranker(compose_s=60), asked)
    assert outcome.reranked == 3
    assert 800 < outcome.timings_ms["intent"] < 1500


def test_a_reranker_that_is_not_to_compose_is_not_asked() -> None:
    reranker = FakeReranker()
    outcome = search(reranker, composes=False)
    assert reranker.composed == []
    assert outcome.reasons == []
    assert outcome.intent is not None
    assert outcome.intent.source == "facets"


@pytest.mark.parametrize(
    ("asked_for", "composes", "source"), [("mllm", False, "mllm"), ("facets", True, "facets")]
)
def test_a_client_chooses_who_composes(asked_for: str, composes: bool, source: str) -> None:
    reranker = FakeReranker()
    outcome = search(reranker, query(intent_source=asked_for), composes=composes)
    assert outcome.intent is not None
    assert outcome.intent.source == source
    assert len(reranker.composed) == (asked_for == "mllm")
    assert outcome.reasons == []


def test_a_client_sets_the_weight_of_the_reranker() -> None:
    assert found(search(FakeReranker(), query(rerank_weight=0)))[:3] == [1, 2, 3]
    assert found(search(FakeReranker(), query(rerank_weight=5)))[:3] == [3, 2, 1]


@pytest.mark.parametrize("mode", ["union", "text", "image"])
def test_baselines_are_scored_too_and_the_reranker_finds_the_target(mode: str) -> None:
    reranker = FakeReranker()
    outcome = search(reranker, query(composition=mode))
    assert outcome.reranked == 3
    assert (reranker.composed, reranker.targets) == ([], [None])


@pytest.mark.parametrize(
    "error",
    [
        RerankerUnavailable("gone"),
        RerankerFailed("no"),
        RerankTimeout("late"),
        CandidatesFailed("one"),
    ],
)
def test_half_a_re_ranking_moves_only_the_scored(error: RerankerError) -> None:
    reranker = FakeReranker()
    reranker.scored, reranker.rerank_error = 2, error
    outcome = search(reranker)
    assert found(outcome) == [2, 1, 3, 4, 5]
    assert (outcome.reranked, outcome.degraded) == (2, True)
    assert outcome.reasons == [error.reason]


def test_time_up_keeps_what_was_scored() -> None:
    reranker = FakeReranker(score_s=0.3)
    outcome = search(reranker, query(timeout_ms=1000, composition="union", rerank_depth=5))
    assert 1 <= outcome.reranked < 5
    assert outcome.reasons == ["deadline"]
    assert reranker.closed


def test_without_a_copy_of_the_reference_there_is_no_re_ranking() -> None:
    reranker = FakeReranker()
    outcome = search(reranker, copies=FakeReferenceImages(missing=True))
    assert found(outcome) == [1, 2, 3, 4, 5]
    assert (outcome.reasons, outcome.degraded) == (["candidates_failed"], True)
    assert reranker.targets == []


async def all_events(reranker: FakeReranker) -> list[SearchEvent]:
    return [event async for event in service(reranker).events(query(), StageTimer())]


def test_the_events_come_in_order_and_the_coarse_one_is_the_answer_without_a_reranker() -> None:
    events = asyncio.run(all_events(FakeReranker()))
    kinds = [type(event) for event in events]
    assert kinds == [
        IntentResolved,
        Retrieved,
        RerankProgress,
        RerankProgress,
        RerankProgress,
        SearchResult,
    ]
    coarse = events[1]
    assert isinstance(coarse, Retrieved)
    assert found(coarse.result) == [1, 2, 3, 4, 5]
    assert coarse.result.reranked == 0
    assert events[2:5] == [RerankProgress(1, 3), RerankProgress(2, 3), RerankProgress(3, 3)]


def test_an_answer_names_the_reranker_that_had_a_part_in_it_not_the_last_one_asked() -> None:
    """Two searches overlap; the reranker is updated between the scores of the one and the other."""
    reranker = FakeReranker(score_s=0.05)
    searching = service(reranker)

    async def overlapping() -> list[str | None]:
        first = asyncio.create_task(searching.search(query(intent_source="facets"), StageTimer()))
        while not reranker.targets:
            await asyncio.sleep(0)
        reranker.version = "fake-reranker-2"
        second = asyncio.create_task(searching.search(query(rerank_depth=0), StageTimer()))
        return [(await one).reranker for one in (first, second)]

    assert asyncio.run(overlapping()) == ["fake-reranker-1", "fake-reranker-2"]


def test_closing_the_events_stops_the_reranker_and_makes_room() -> None:
    reranker = FakeReranker(score_s=0.01)

    async def leave_early() -> None:
        searching = service(reranker)
        for _ in range(3):  # more than are admitted at once
            async with aclosing(searching.events(query(), StageTimer())) as events:
                async for event in events:
                    if isinstance(event, RerankProgress):
                        break
            assert reranker.closed

    asyncio.run(leave_early())


def test_re_ranking_is_timed() -> None:
    timings = search(FakeReranker(score_s=0.02)).timings_ms
    assert set(timings) == {"embed", "intent", "retrieve", "rerank", "total"}
    assert timings["rerank"] >= 55
