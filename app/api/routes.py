"""The HTTP interface besides the search: the gallery, its images, and the service's state."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.answers import gallery_item
from app.api.deps import EmbedderDep, GalleryDep, ImageStoreDep
from app.api.schemas import GalleryPage, GalleryResponse, Readiness
from app.errors import GalleryUnavailable, UnknownImage
from models.image_store import Copy, ImageStore

router = APIRouter()

_FOR_EVER = {"Cache-Control": "public, max-age=86400"}


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
    limit: Annotated[int, Query(ge=1, le=1000)] = 24,
    offset: Annotated[str | None, Query(max_length=64)] = None,
) -> GalleryPage:
    """Browse the gallery, a page at a time."""
    images, following = await gallery.page(limit, offset, None)
    return GalleryPage(
        images=[gallery_item(request, image) for image in images], next_offset=following
    )


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
