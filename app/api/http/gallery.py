"""The HTTP interface besides the search: the gallery, its images, and the service's state."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.api.http.dependencies import ServicesDep
from app.api.http.responses import etag, gallery_item, not_modified
from app.api.http.schemas import (
    MAX_PAGE,
    GalleryItem,
    GalleryPage,
    GalleryResponse,
    GallerySample,
    Readiness,
)
from app.api.search.ports import PublishedGeneration
from app.web.client_text import parse_json
from app.web.problems import ProblemDetail
from indexer.gallery.errors import GalleryUnavailable, ImageNotFound
from indexer.gallery.image_store import ImageStore
from models.contracts.filter import Filter

router = APIRouter()

_A_DAY = "public, max-age=86400"  # no longer: another build may give an id another picture
_BROWSING_ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": ProblemDetail, "description": "The filter, limit or offset cannot be used"},
    429: {"model": ProblemDetail, "description": "Too many pages are wanted at once"},
    503: {"model": ProblemDetail, "description": "No gallery in service"},
}
_FILTER = TypeAdapter(Filter)

FilterText = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=4000,
        description="as in a search, as JSON",
        examples=['{"colour": ["red", "blue"]}'],
    ),
]


@router.get("/gallery", tags=["gallery"])
async def gallery(services: ServicesDep) -> GalleryResponse:
    """What is searched: how many images, which attributes, which encoder."""
    generation = services.gallery.snapshot().generation
    spec = generation.spec
    return GalleryResponse(
        images=await generation.count(),
        encoder_fingerprint=spec.encoder_fingerprint,
        built_at=spec.built_at,
        noun_facet=spec.noun_facet,
        facets=list(spec.facets),
        explains=services.explainer.supported,
        notice=services.notice,
        default_composition=services.search.limits.default_composition,
        max_top_k=services.search.limits.top_k,
    )


@router.get(
    "/gallery/images", tags=["gallery"], response_model=GalleryPage, responses=_BROWSING_ERRORS
)
async def gallery_images(
    request: Request,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 24,
    offset: Annotated[str | None, Query(max_length=64)] = None,
    filter_text: FilterText = None,
) -> Response:
    """Browse the gallery, or the part of it that fits a filter, a page at a time."""
    wanted = _filter(filter_text)
    async with services.browsing.slot():
        images, following = await services.gallery.snapshot().generation.page(limit, offset, wanted)
        return await asyncio.to_thread(
            lambda: _json(
                GalleryPage(
                    images=[gallery_item(request, image) for image in images],
                    next_offset=following,
                )
            )
        )


@router.get("/gallery/images/{image_id:path}", tags=["gallery"])
async def gallery_image(request: Request, image_id: str, services: ServicesDep) -> GalleryItem:
    """What the gallery knows of one image."""
    found, _ = await services.gallery.snapshot().generation.get(image_id)
    return gallery_item(request, found)


@router.get(
    "/gallery/random", tags=["gallery"], response_model=GallerySample, responses=_BROWSING_ERRORS
)
async def gallery_random(
    request: Request,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    filter_text: FilterText = None,
) -> Response:
    """Some images at random, all of them fitting a filter if there is one."""
    wanted = _filter(filter_text)
    async with services.browsing.slot():
        images = await services.gallery.snapshot().generation.sample(limit, wanted)
        return await asyncio.to_thread(
            lambda: _json(GallerySample(images=[gallery_item(request, image) for image in images]))
        )


@router.get("/thumbnails/{image_id:path}", tags=["gallery"], response_class=FileResponse)
async def thumbnail(request: Request, image_id: str, services: ServicesDep) -> Response:
    """A gallery image, small."""
    generation = services.gallery.snapshot().generation
    return await _stored_copy(
        request, image_id, generation, generation.spec.thumbnail_px, services.image_store
    )


@router.get("/images/{image_id:path}", tags=["gallery"], response_class=FileResponse)
async def image(request: Request, image_id: str, services: ServicesDep) -> Response:
    """A gallery image, at the size that is re-ranked."""
    generation = services.gallery.snapshot().generation
    return await _stored_copy(
        request, image_id, generation, generation.spec.rerank_px, services.image_store
    )


@router.get("/healthz", tags=["service"], response_class=PlainTextResponse)
async def healthz() -> str:
    """The process is alive."""
    return "ok"


@router.get("/readyz", tags=["service"], response_model=Readiness)
async def readyz(services: ServicesDep) -> JSONResponse:
    """Whether searches can be answered: 200, or 503 with the reasons."""
    try:
        await services.gallery.check_ready()
    except GalleryUnavailable as error:
        return JSONResponse(Readiness(ready=False, reasons=[str(error)]).model_dump(), 503)
    return JSONResponse(Readiness(ready=True, reasons=[]).model_dump())


@router.get("/metrics", tags=["service"], response_class=PlainTextResponse)
async def metrics() -> PlainTextResponse:
    """Counters and histograms for Prometheus."""
    return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _stored_copy(
    request: Request,
    image_id: str,
    generation: PublishedGeneration,
    side_px: int,
    store: ImageStore,
) -> Response:
    found, _ = await generation.get(image_id)
    headers = {"ETag": etag(found.content_hash, str(side_px)), "Cache-Control": _A_DAY}
    if (same := not_modified(request, headers)) is not None:
        return same
    match await asyncio.to_thread(store.state, found.content_hash, side_px):
        case "absent":
            wrong = "has no copy"
        case "damaged":
            wrong = "has a damaged copy"
        case "whole":
            path = store.path_of(found.content_hash, side_px)
            return FileResponse(path, media_type="image/jpeg", headers=headers)
    raise ImageNotFound(f"the image store {wrong} of {image_id!r} at {side_px} px; build it again")


def _json(body: BaseModel) -> Response:
    """A body as a response; a hundred images take their time, so not on the event loop."""
    return Response(body.model_dump_json(), media_type="application/json")


def _filter(text: str | None) -> Filter | None:
    """A filter in an address; its errors name the same fields as a search's do."""
    if text is None:
        return None
    try:
        return _FILTER.validate_python(parse_json(text, "the filter"))
    except ValidationError as error:
        raise RequestValidationError(
            [
                {**entry, "loc": ("filter", *entry["loc"])}
                for entry in error.errors(include_url=False)
            ]
        ) from None
