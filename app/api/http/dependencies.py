"""What routes depend on, by name; `main.create_app` puts the objects into the app's state."""

from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.search.explain import RelevanceExplainer
from app.api.search.ports import Gallery, QueryEncoder
from app.api.search.service import SearchService
from app.api.search.turns import Turns
from indexer.gallery.image_store import ImageStore
from models.datasets.images import ImageLimits


def _search(request: Request) -> SearchService:
    return cast(SearchService, request.app.state.search)


def _gallery(request: Request) -> Gallery:
    return cast(Gallery, request.app.state.gallery)


def _embedder(request: Request) -> QueryEncoder:
    return cast(QueryEncoder, request.app.state.embedder)


def _explanations(request: Request) -> RelevanceExplainer:
    return cast(RelevanceExplainer, request.app.state.explanations)


def _browsing(request: Request) -> Turns:
    return cast(Turns, request.app.state.browsing)


def _notice(request: Request) -> str | None:
    return cast("str | None", request.app.state.notice)


def _image_store(request: Request) -> ImageStore:
    return cast(ImageStore, request.app.state.image_store)


def _image_limits(request: Request) -> ImageLimits:
    return cast(ImageLimits, request.app.state.image_limits)


SearchDep = Annotated[SearchService, Depends(_search)]
GalleryDep = Annotated[Gallery, Depends(_gallery)]
EmbedderDep = Annotated[QueryEncoder, Depends(_embedder)]
ExplanationsDep = Annotated[RelevanceExplainer, Depends(_explanations)]
BrowsingDep = Annotated[Turns, Depends(_browsing)]
NoticeDep = Annotated[str | None, Depends(_notice)]
ImageStoreDep = Annotated[ImageStore, Depends(_image_store)]
ImageLimitsDep = Annotated[ImageLimits, Depends(_image_limits)]
