"""Domain types → public bodies."""

from typing import Any

from fastapi import Request, Response

from app.api.http.schemas import (
    Composition,
    Coverage,
    GalleryItem,
    Models,
    ResultItem,
    SearchResponse,
)
from app.api.search.ranking import RankedCandidate
from app.api.search.types import SearchResult
from app.web.logging import request_id_var
from models.contracts.gallery import GalleryImage, address_of


def search_response(request: Request, result: SearchResult) -> SearchResponse:
    """A result, cut to as many images as were asked for."""
    return SearchResponse(
        request_id=request_id_var.get() or "",
        composition=Composition(mode=result.mode, intent=result.intent),
        results=[
            _result(request, ranked, rank, result.contradicting)
            for rank, ranked in enumerate(result.ranked[: result.top_k], start=1)
        ],
        coverage=Coverage(
            candidates=len(result.ranked),
            reranked=result.reranked,
            degraded=result.degraded,
            reasons=result.reasons,
        ),
        timings_ms=result.timings_ms,
        models=Models(encoder=result.encoder, reranker=result.reranker),
    )


def gallery_item(request: Request, image: GalleryImage) -> GalleryItem:
    """An image of the gallery, for browsing."""
    return GalleryItem(**image_fields(request, image))


def _result(
    request: Request, ranked: RankedCandidate, rank: int, contradicting: frozenset[str]
) -> ResultItem:
    return ResultItem(
        contradicts=ranked.candidate.image.image_id in contradicting,
        rank=rank,
        score=ranked.score,
        retrieval_rank=ranked.retrieval_rank,
        retrieval_score=ranked.candidate.retrieval_score,
        rerank_score=ranked.rerank_score,
        **image_fields(request, ranked.candidate.image),
    )


def image_fields(request: Request, image: GalleryImage) -> dict[str, Any]:
    """What every answer says of an image."""
    address = address_of(image.image_id)
    return {
        "image_id": image.image_id,
        "image_url": request.app.url_path_for("image", image_id=address),
        "thumbnail_url": request.app.url_path_for("thumbnail", image_id=address),
        "caption": image.caption,
        "attributes": image.attributes,
    }


def etag(*parts: str) -> str:
    """An entity tag of the parts that decide an answer; they must be plain words or hashes."""
    return f'"{"-".join(parts)}"'


def not_modified(request: Request, headers: dict[str, str]) -> Response | None:
    """304 if the client's copy has the tag in `headers`; None if it needs the answer.

    Weak tags compare equal to strong ones, as RFC 9110 (13.1.2) has it for If-None-Match.
    """
    asked = request.headers.get("if-none-match", "")
    known = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    return Response(status_code=304, headers=headers) if headers["ETag"] in known else None
