"""`GET /explain`: where in a gallery image the encoder sees a phrase, for the page's heat maps."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.http.dependencies import EmbedderDep, ExplanationsDep, GalleryDep
from app.api.http.responses import etag, not_modified
from app.api.http.schemas import ExplainResponse
from app.web.problems import ProblemDetail
from models.contracts.intent import Phrase

router = APIRouter(tags=["search"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client's copy, named by If-None-Match, still holds"},
    404: {"model": ProblemDetail, "description": "No gallery image has that id"},
    429: {"model": ProblemDetail, "description": "Too many explanations at once"},
    501: {"model": ProblemDetail, "description": "This encoder cannot be explained"},
    503: {"model": ProblemDetail, "description": "No gallery in service"},
}


@router.get("/explain", response_model=ExplainResponse, responses=_ERRORS)
async def explain(
    request: Request,
    response: Response,
    gallery: GalleryDep,
    embedder: EmbedderDep,
    explanations: ExplanationsDep,
    image_id: Annotated[str, Query(min_length=1, max_length=512)],
    phrase: Annotated[Phrase, Query(description="short: a word or two see best")],
) -> ExplainResponse | Response:
    """A small grid over the image: how much of each place is the phrase, and not its rivals."""
    generation = gallery.snapshot().generation
    image, _ = await generation.get(image_id)
    said = hashlib.sha256(f"{phrase}\0{generation.spec.built_at}".encode()).hexdigest()
    headers = {
        "ETag": etag(embedder.fingerprint, image.content_hash[:16], said[:16]),
        "Cache-Control": "no-cache",
    }
    if (same := not_modified(request, headers)) is not None:
        return same
    found = await explanations.explain(image, phrase)
    response.headers.update(headers)
    rows, columns = found.relevance.shape
    return ExplainResponse(
        image_id=image_id,
        phrase=phrase,
        against=found.against,
        reliable=found.reliable,
        rows=rows,
        columns=columns,
        box=found.box,
        relevance=[[round(float(share), 4) for share in row] for row in found.relevance],
    )
