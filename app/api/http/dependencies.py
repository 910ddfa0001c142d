"""What the routes work with; `main.create_app` puts it together."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.search.admission import ConcurrencyLimit
from app.api.search.explain import RelevanceExplainer
from app.api.search.ports import Gallery
from app.api.search.service import SearchService
from indexer.gallery.image_store import ImageStore
from models.datasets.images import ImageLimits


@dataclass(frozen=True)
class Services:
    """Kept as `app.state.services` while the API serves.

    Attributes:
        search: Answers searches.
        gallery: What is searched and browsed.
        explainer: Makes relevance maps.
        browsing: How many pages of the gallery are made at once.
        image_store: The gallery's stored copies.
        image_limits: What an uploaded image may be.
        notice: What the encoder in service does not know, if narrow.
    """

    search: SearchService
    gallery: Gallery
    explainer: RelevanceExplainer
    browsing: ConcurrencyLimit
    image_store: ImageStore
    image_limits: ImageLimits
    notice: str | None


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(_services)]
