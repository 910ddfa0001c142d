"""The use case, on fakes: what it asks of its ports, and what it says when it cannot."""

import asyncio
import dataclasses
from typing import Any

import pytest
from PIL import Image
from prometheus_client import REGISTRY

from app.api.search.limits import SearchLimits
from app.api.search.metrics import StageTimer
from app.api.search.ports import EncodedQuery
from app.api.search.service import SearchService
from app.api.search.types import SearchOptions, SearchQuery, SearchResult, Upload
from app.web.errors import DeadlineExceeded, Overloaded
from indexer.gallery.errors import ImageNotFound, InvalidRequest
from models.contracts.intent import Intent
from tests.fakes import FakeGallery, FakeQueryEncoder, gallery_image

IMAGES = [gallery_image("one", "1" * 64), gallery_image("two", "2" * 64)]
LIMITS = SearchLimits(
    max_top_k=50, max_retrieval_depth=200, timeout_ms=2000, max_concurrent_searches=2
)


def query(reference: Any = "one", **options: Any) -> SearchQuery:
    return SearchQuery(reference, "the same but blue", SearchOptions(**options))


def search(
    asked: SearchQuery,
    gallery: FakeGallery | None = None,
    encoder: FakeQueryEncoder | None = None,
) -> SearchResult:
    service = SearchService(encoder or FakeQueryEncoder(), gallery or FakeGallery(IMAGES), LIMITS)
    return asyncio.run(service.search(asked, StageTimer()))


def found(outcome: SearchResult) -> list[str]:
    return [one.candidate.image.image_id for one in outcome.ranked]


def test_the_reference_is_left_out_by_its_content() -> None:
    gallery = FakeGallery(IMAGES)
    assert found(search(query(), gallery)) == ["two"]
    upload = Upload(Image.new("RGB", (8, 8)), "2" * 64)
    assert found(search(query(upload), gallery)) == ["one"]
    kept = search(query(exclude_reference=False), gallery)
    assert found(kept) == ["one", "two"]


def test_enough_candidates_are_retrieved_for_the_results_asked() -> None:
    gallery = FakeGallery(IMAGES)
    search(query(top_k=40, retrieval_depth=10), gallery)
    assert gallery.limit == 40


def test_a_search_that_re_ranks_deeper_than_usual_gets_as_many_candidates() -> None:
    gallery = FakeGallery(IMAGES)
    for asked, limit in (({}, 100), ({"rerank_depth": 150}, 150), ({"top_k": 20}, 100)):
        search(query(**asked), gallery)
        assert gallery.limit == limit
    search(query(rerank_depth=30, top_k=40, retrieval_depth=10), gallery)
    assert gallery.limit == 40, "results are candidates too"


def test_defaults_keep_to_what_the_operator_allows() -> None:
    """A search that names no number is never refused for it."""
    gallery = FakeGallery([gallery_image(f"{n}", f"{n:064x}") for n in range(60)])
    cases: tuple[tuple[dict[str, Any], int, int], ...] = (
        ({"max_top_k": 5}, 60, 5),
        ({"max_retrieval_depth": 50}, 50, 10),
        ({"max_retrieval_depth": 8, "default_rerank_depth": 20}, 8, 8),
    )
    for limits, candidates, results in cases:
        service = SearchService(FakeQueryEncoder(), gallery, dataclasses.replace(LIMITS, **limits))
        asked = query("0", exclude_reference=False)
        outcome = asyncio.run(service.search(asked, StageTimer()))
        assert (len(outcome.ranked), outcome.top_k) == (candidates, results)


@pytest.mark.parametrize(
    ("limits", "options", "sentence"),
    [
        ({"max_top_k": 5}, {"top_k": 10}, "top_k is 10, more than 5"),
        ({"max_retrieval_depth": 30}, {"top_k": 40}, "top_k is 40, more than 30"),
        ({"max_retrieval_depth": 50}, {"retrieval_depth": 100},
         "retrieval_depth is 100, more than 50"),
        ({"max_retrieval_depth": 50}, {"rerank_depth": 100}, "rerank_depth is 100, more than 50"),
        ({}, {"rerank_depth": 150, "retrieval_depth": 120},
         "rerank_depth is 150, more than the 120 candidates that retrieval_depth asks for"),
    ],
)  # fmt: skip
def test_more_than_there_can_be_is_said_and_never_cut(
    limits: dict[str, Any], options: dict[str, int], sentence: str
) -> None:
    narrow = dataclasses.replace(LIMITS, **limits)
    service = SearchService(FakeQueryEncoder(), FakeGallery(IMAGES), narrow)
    with pytest.raises(InvalidRequest, match=sentence):
        asyncio.run(service.search(query(**options), StageTimer()))


def test_without_a_reranker_it_says_so_and_is_degraded_only_if_one_was_asked_for() -> None:
    assert search(query()).reasons == ["rerank_disabled"]
    assert not search(query()).degraded
    assert not search(query(rerank_depth=0)).degraded
    assert search(query(rerank_depth=50)).degraded


def test_a_plain_sum_in_place_of_an_intersection_is_said() -> None:
    outcome = search(query(), encoder=FakeQueryEncoder(source="none"))
    assert "intent_fallback" in outcome.reasons
    assert outcome.degraded


@pytest.mark.parametrize("mode", ["union", "text", "image"])
def test_baselines_have_no_intent(mode: str) -> None:
    encoder = FakeQueryEncoder()
    assert search(query(composition=mode), encoder=encoder).intent is None
    assert encoder.modes == [mode]


def test_edited_roles_are_used() -> None:
    outcome = search(query(intent=Intent(target="a blue sofa")))
    assert outcome.intent is not None
    assert outcome.intent.source == "client"


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 51},
        {"retrieval_depth": 201},
        {"rerank_depth": 201},
        {"composition": "union", "intent": Intent(target="a blue sofa")},
    ],
)
def test_more_than_is_allowed_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        search(query(**options))


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(ImageNotFound):
        search(query("nobody"))


def test_the_deadline_holds() -> None:
    with pytest.raises(DeadlineExceeded, match="30 ms"):
        search(query(timeout_ms=30), encoder=FakeQueryEncoder(delay_s=30))


def test_beyond_its_limit_it_refuses_at_the_door_and_recovers() -> None:
    async def crowd() -> list[SearchResult | BaseException]:
        service = SearchService(FakeQueryEncoder(delay_s=0.1), FakeGallery(IMAGES), LIMITS)

        async def one() -> SearchResult:
            with service.admitted():
                return await service.search(query(), StageTimer())

        first = await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)
        return [*first, await one()]

    *crowd_results, later = asyncio.run(crowd())
    refused = [result for result in crowd_results if isinstance(result, Overloaded)]
    assert len(refused) == 3
    assert isinstance(later, SearchResult)


class BrokenGallery(FakeGallery):
    """Fails with a bug."""

    async def retrieve(self, *_: Any) -> Any:
        raise RuntimeError("a mistake of ours")


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("cir_searches_total", {"outcome": outcome}) or 0.0


def test_a_search_that_broke_is_counted_as_failed_and_not_as_its_clients_leaving() -> None:
    before = {outcome: counted(outcome) for outcome in ("failed", "abandoned")}
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        search(query(), BrokenGallery(IMAGES))
    assert counted("failed") == before["failed"] + 1

    async def leave() -> None:
        service = SearchService(FakeQueryEncoder(), FakeGallery(IMAGES), LIMITS)
        events = service.events(query(), StageTimer())
        await anext(events)
        await events.aclose()

    asyncio.run(leave())
    assert counted("abandoned") == before["abandoned"] + 1


def test_what_could_not_be_answered_in_time_is_refused_at_once() -> None:
    """And those that were admitted are answered."""

    async def crowd() -> list[SearchResult | BaseException]:
        limits = dataclasses.replace(LIMITS, max_concurrent_searches=100)
        service = SearchService(FakeQueryEncoder(delay_s=0.2), FakeGallery(IMAGES), limits)
        await service.search(query(), StageTimer())  # from which it learns

        async def one() -> SearchResult:
            with service.admitted(timeout_ms=2000):
                return await service.search(query(timeout_ms=2000), StageTimer())

        arriving = []
        for _ in range(60):
            arriving.append(asyncio.create_task(one()))
            await asyncio.sleep(0)
        return await asyncio.gather(*arriving, return_exceptions=True)

    results = asyncio.run(crowd())
    refused = [result for result in results if isinstance(result, Overloaded)]
    answered = [result for result in results if isinstance(result, SearchResult)]
    assert len(refused) + len(answered) == 60
    assert len(answered) >= 10
    assert len(refused) >= 20
    assert "come first" in str(refused[0])


def test_stages_are_timed() -> None:
    timings = search(query()).timings_ms
    assert set(timings) == {"embed", "intent", "retrieve", "total"}
    assert timings["total"] >= timings["retrieve"] >= 0


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({}, "union"),
        ({"composition": "intersection"}, "intersection"),
        ({"composition": "text"}, "text"),
        ({"intent_source": "facets"}, "intersection"),
        ({"intent": Intent(target="a blue sofa")}, "intersection"),
    ],
)
def test_a_preset_says_how_a_search_is_composed_that_does_not(
    options: dict[str, Any], mode: str
) -> None:
    """As a union it is whole, not an intersection that fell back to one."""
    encoder = FakeQueryEncoder()
    limits = dataclasses.replace(LIMITS, default_composition="union")
    service = SearchService(encoder, FakeGallery(IMAGES), limits)
    outcome = asyncio.run(service.search(query(**options), StageTimer()))
    assert outcome.mode == mode
    assert encoder.modes == [mode]
    assert not outcome.degraded
    assert (outcome.intent is None) == (mode != "intersection")


class CrowdedEncoder(FakeQueryEncoder):
    """Counts how many queries it embeds at once."""

    at_once = most_at_once = 0

    async def compose(self, *query: Any, **options: Any) -> EncodedQuery:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super().compose(*query, **options)
        finally:
            self.at_once -= 1


@pytest.mark.parametrize(
    ("options", "at_once"),
    [
        ({}, 8),
        ({"filter": {"colour": ["red", "blue"], "price": 5}}, 8),
        ({"filter": {"colour": ["red"] * 40, "maker": ["ACME"] * 40}}, 1),
        ({"among": ["one"] * 65}, 1),
    ],
)
def test_searches_with_long_filters_take_turns(options: dict[str, Any], at_once: int) -> None:
    encoder = CrowdedEncoder(delay_s=0.01)

    async def crowd() -> None:
        service = SearchService(encoder, FakeGallery(IMAGES), LIMITS)
        await asyncio.gather(*(service.search(query(**options), StageTimer()) for _ in range(9)))

    asyncio.run(crowd())
    assert encoder.most_at_once == at_once
