"""The HTTP interface: parse, call one method, shape the reply."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.deps import EmbedderDep, GalleryDep, ImageLimitsDep, ImageStoreDep, SearchDep
from app.api.intake import read_query
from app.api.openapi import SEARCH_BODY, SEARCH_ERRORS
from app.api.ports import Candidate
from app.api.schemas import (
    Composition,
    Coverage,
    GalleryItem,
    GalleryPage,
    GalleryResponse,
    Models,
    Readiness,
    SearchResponse,
    SearchResult,
)
from app.errors import GalleryUnavailable, UnknownImage
from app.observability import StageTimer, request_id_var
from models.contracts.gallery import GalleryImage
from models.image_store import Copy, ImageStore

router = APIRouter()

_FOR_EVER = {"Cache-Control": "public, max-age=86400"}


@router.post("/search", responses=SEARCH_ERRORS, openapi_extra=SEARCH_BODY, tags=["search"])
async def search(
    request: Request, service: SearchDep, limits: ImageLimitsDep, embedder: EmbedderDep
) -> SearchResponse:
    """Find the gallery images that look like the reference image with the text's change made."""
    timer = StageTimer()
    with timer.stage("intake"):
        query = await read_query(request, limits)
    outcome = await service.search(query, timer)
    return SearchResponse(
        request_id=request_id_var.get() or "",
        composition=Composition(mode=query.options.composition, intent=outcome.intent),
        results=[
            _result(request, candidate, rank)
            for rank, candidate in enumerate(outcome.candidates[: query.options.top_k], start=1)
        ],
        coverage=Coverage(
            candidates=len(outcome.candidates),
            reranked=0,
            degraded=outcome.degraded,
            reasons=outcome.reasons,
        ),
        timings_ms=timer.finish(),
        models=Models(encoder=embedder.fingerprint, judge=None),
    )


@router.get("/gallery", tags=["gallery"])
async def gallery(gallery: GalleryDep) -> GalleryResponse:
    """What is searched: how many images, which attributes, which encoder."""
    spec = await gallery.spec()
    return GalleryResponse(
        images=await gallery.count(),
        encoder_fingerprint=spec.encoder_fingerprint,
        built_at=spec.built_at,
        noun_facet=spec.noun_facet,
        facets=list(spec.facets),
    )


@router.get("/gallery/images", tags=["gallery"])
async def gallery_images(
    request: Request,
    gallery: GalleryDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 24,
    offset: Annotated[str | None, Query(max_length=64)] = None,
) -> GalleryPage:
    """Browse the gallery, a page at a time."""
    images, following = await gallery.page(limit, offset, None)
    return GalleryPage(images=[_item(request, image) for image in images], next_offset=following)


@router.get("/images/{image_id:path}/thumbnail", tags=["gallery"], response_class=FileResponse)
async def thumbnail(image_id: str, gallery: GalleryDep, store: ImageStoreDep) -> FileResponse:
    """A gallery image, small."""
    return await _copy(image_id, "thumbnail", gallery, store)


@router.get("/images/{image_id:path}", tags=["gallery"], response_class=FileResponse)
async def image(image_id: str, gallery: GalleryDep, store: ImageStoreDep) -> FileResponse:
    """A gallery image, at the size that is re-ranked."""
    return await _copy(image_id, "rerank", gallery, store)


@router.get("/healthz", tags=["service"], response_class=PlainTextResponse)
async def healthz() -> str:
    """The process is alive."""
    return "ok"


@router.get("/readyz", tags=["service"], response_model=Readiness)
async def readyz(gallery: GalleryDep, embedder: EmbedderDep) -> JSONResponse:
    """Whether searches can be answered: 200, or 503 with the reasons."""
    try:
        embedder.check_ready(await gallery.spec())
    except GalleryUnavailable as error:
        return JSONResponse(Readiness(ready=False, reasons=[str(error)]).model_dump(), 503)
    return JSONResponse(Readiness(ready=True, reasons=[]).model_dump())


@router.get("/metrics", tags=["service"], response_class=PlainTextResponse)
async def metrics() -> PlainTextResponse:
    """Counters and histograms for Prometheus."""
    return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _copy(image_id: str, copy: Copy, gallery: GalleryDep, store: ImageStore) -> FileResponse:
    found, _ = await gallery.get(image_id)
    path = store.path_of(found.content_hash, copy)
    if not path.exists():
        raise UnknownImage(f"the image store has no {copy} copy of {image_id!r}; build it again")
    return FileResponse(path, media_type="image/jpeg", headers=_FOR_EVER)


def _result(request: Request, candidate: Candidate, rank: int) -> SearchResult:
    return SearchResult(
        rank=rank,
        score=candidate.retrieval_score,
        retrieval_rank=rank,
        retrieval_score=candidate.retrieval_score,
        rerank_score=None,
        **_described(request, candidate.image),
    )


def _item(request: Request, image: GalleryImage) -> GalleryItem:
    return GalleryItem(**_described(request, image))


def _described(request: Request, image: GalleryImage) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "image_url": request.app.url_path_for("image", image_id=image.image_id),
        "thumbnail_url": request.app.url_path_for("thumbnail", image_id=image.image_id),
        "caption": image.caption,
        "attributes": image.attributes,
    }
