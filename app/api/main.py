"""The API's composition root: settings → models, gallery, service, HTTP.

`python -m app.api` runs it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from app.api.adapters.gallery import AsyncGallery
from app.api.adapters.query_encoder import ClipQueryEncoder
from app.api.adapters.reference_images import StoredReferenceImages
from app.api.adapters.rerankers import reranking
from app.api.adapters.snapshots import SnapshotWatcher
from app.api.http import openapi, page
from app.api.http.dependencies import Services
from app.api.http.explain import router as explain_router
from app.api.http.gallery import router as gallery_router
from app.api.http.search import router as search_router
from app.api.search.admission import ConcurrencyLimit
from app.api.search.explain import RelevanceExplainer
from app.api.search.limits import SearchLimits
from app.api.search.service import SearchService
from app.api.settings import ApiSettings, settings_from_environment
from app.web import middleware, problems, startup
from app.web.logging import configure_logging
from app.web.request_body import BodyLimits
from indexer.gallery import open_reader
from indexer.gallery.image_store import ImageStore
from models.datasets.images import ImageLimits
from models.encoder.encoder import ImageTextEncoder
from models.presets import preset_name

_log = logging.getLogger(__name__)

_FORM_OVERHEAD_BYTES = 1_000_000
_MAX_BROWSING = 16
GRACE_S = 5  # for answers under way when the process is told to stop


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """Put the API together.

    Args:
        settings: Default: from the environment; bad ones end the process with a sentence.
    """
    settings = settings or startup.settings_or_exit(settings_from_environment)
    configure_logging(settings.log_level)
    app = FastAPI(
        title="Composed image retrieval",
        summary="Show an image, say what should be different, get the gallery images that fit.",
        version="0.1.0",
        lifespan=_lifespan,
        docs_url=None,  # they would load their scripts from elsewhere; see `page`
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the client named
    )
    middleware.install(app, _body_limits(settings))
    app.state.settings = settings
    app.include_router(search_router)
    app.include_router(gallery_router)
    app.include_router(explain_router)
    openapi.install(app)
    page.install(app)
    problems.install(app)
    startup.install(app)
    return app


def _body_limits(settings: ApiSettings) -> BodyLimits:
    return BodyLimits(
        settings.max_upload_bytes,
        # base64 in JSON is a third longer than the bytes it stands for
        settings.max_upload_bytes * 4 // 3 + _FORM_OVERHEAD_BYTES,
        timeout_s=settings.upload_timeout_s,
        max_held_bytes=settings.max_held_upload_bytes,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the encoder, open the gallery, find the workers, serve, and let go of all in order."""
    settings: ApiSettings = app.state.settings
    model = await asyncio.to_thread(ImageTextEncoder, settings.encoder)
    _log.info("encoder %s on %s", model.fingerprint, model.device_reason)
    async with AsyncExitStack() as stack:
        generations = AsyncGallery(open_reader(settings.gallery))
        stack.callback(generations.close)
        encoder = ClipQueryEncoder(model, settings.composition, settings.understood)
        stack.callback(encoder.close)
        gallery = SnapshotWatcher(generations, encoder, preset_name(settings.preset))
        await gallery.refuse_other_encoder()
        store = ImageStore(settings.image_store)
        stage = await stack.enter_async_context(reranking(settings, store))
        app.state.services = Services(
            search=SearchService(
                encoder, gallery, _limits(settings), StoredReferenceImages(store), stage
            ),
            gallery=gallery,
            explainer=RelevanceExplainer(gallery, encoder, store, settings.encoder.locates_kinds),
            browsing=ConcurrencyLimit(1, _MAX_BROWSING, "pages"),
            image_store=store,
            image_limits=ImageLimits(settings.max_upload_bytes, settings.max_pixels),
            notice=settings.encoder.notice,
        )
        stack.callback(asyncio.create_task(gallery.watch()).cancel)
        yield


def _limits(settings: ApiSettings) -> SearchLimits:
    return SearchLimits(
        max_top_k=settings.max_top_k,
        max_retrieval_depth=settings.max_retrieval_depth,
        timeout_ms=settings.timeout_ms,
        max_concurrent_searches=settings.max_concurrent_searches,
        default_rerank_depth=settings.default_rerank_depth,
        max_rerank_depth=settings.max_rerank_depth,
        rerank_weight=settings.rerank_weight,
        default_composition=settings.composition_mode,
    )
