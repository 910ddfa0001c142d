"""`GET /explain`: where in a gallery image the encoder sees a phrase, for the page's heat maps."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.http.dependencies import ServicesDep
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
    services: ServicesDep,
    image_id: Annotated[str, Query(min_length=1, max_length=512)],
    phrase: Annotated[Phrase, Query(description="short: a word or two see best")],
) -> ExplainResponse | Response:
    """A small grid over the image: how much of each place is the phrase, and not its contrasts."""
    generation = services.gallery.snapshot().generation
    spec = generation.spec
    image, _ = await generation.get(image_id)
    # the contrasting phrases, like the phrase itself, are part of the answer
    phrases = hashlib.sha256(f"{phrase}\0{spec.built_at}".encode()).hexdigest()
    headers = {
        "ETag": etag(spec.encoder_fingerprint, image.content_hash[:16], phrases[:16]),
        "Cache-Control": "no-cache",
    }
    if (same := not_modified(request, headers)) is not None:
        return same
    explanation = await services.explainer.explain(image, phrase)
    response.headers.update(headers)
    rows, columns = explanation.relevance.shape
    return ExplainResponse(
        image_id=image_id,
        phrase=phrase,
        against=explanation.against,
        reliable=explanation.reliable,
        rows=rows,
        columns=columns,
        box=explanation.box,
        relevance=[[round(float(share), 4) for share in row] for row in explanation.relevance],
    )
