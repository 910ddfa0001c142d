"""The worker's composition root: settings → reranker, engine, service, HTTP.

`python -m app.worker` runs it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.web import middleware, problems, startup
from app.web.logging import configure_logging
from app.web.request_body import BodyLimits
from app.worker import errors
from app.worker.inference.device import DeviceThread
from app.worker.inference.model import AnyReranker, RerankerModel
from app.worker.lifecycle import WorkerRuntime
from app.worker.process import exit_with_parent
from app.worker.routes import router
from app.worker.settings import WorkerSettings, settings_from_environment

_log = logging.getLogger(__name__)

_CANDIDATES_BYTES = 1_000_000  # a thousand ids and hashes


def create_app(
    settings: WorkerSettings | None = None, reranker: AnyReranker | None = None
) -> FastAPI:
    """Put the worker together.

    Args:
        settings: Default: from the environment; bad ones end the process with a sentence.
        reranker: Default: loaded as the settings say, on the thread that owns the device.
    """
    settings = settings or startup.settings_or_exit(settings_from_environment)
    configure_logging(settings.log_level)
    app = FastAPI(
        title="Composed image retrieval: worker",
        summary="Composes intents and scores candidates; the API's companion on the device.",
        version="0.1.0",
        lifespan=_lifespan,
        docs_url=None,  # they would load their scripts from elsewhere; `/openapi.json` is there
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the client named
    )
    # base64 in JSON is a third longer than the bytes it stands for
    max_body_bytes = settings.max_upload_bytes * 4 // 3 + _CANDIDATES_BYTES
    middleware.install(app, BodyLimits(settings.max_upload_bytes, max_body_bytes))
    app.state.settings, app.state.reranker = settings, reranker
    app.include_router(router)
    problems.install(app, errors.STATUS)
    startup.install(app)
    return app


def begin_drain(app: FastAPI) -> None:
    """Have a worker admit no more jobs, and finish or hand back those it has, if it has started."""
    worker: WorkerRuntime | None = getattr(app.state, "worker", None)
    if worker is not None:
        worker.begin_drain()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the reranker, serve while it warms up, and release it in order.

    A reranker that cannot be loaded fails the start, and with it the process.
    """
    settings: WorkerSettings = app.state.settings
    reranker: AnyReranker | None = app.state.reranker
    device = DeviceThread()
    if reranker is None:
        reranker = await asyncio.wrap_future(device.call(lambda: _load_reranker(settings)))
    worker = app.state.worker = WorkerRuntime(settings, reranker, device)
    beside = [asyncio.create_task(worker.warm_up())]
    if settings.parent_pid is not None:
        beside.append(asyncio.create_task(exit_with_parent(settings.parent_pid)))
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await worker.stop()


def _load_reranker(settings: WorkerSettings) -> AnyReranker:
    """Load the reranker of the settings."""
    chosen = settings.require_reranker()
    # they take seconds to import: not before they are needed, and on the device's thread
    from models.reranker.architectures.base import (  # noqa: PLC0415
        PreparedImage,
        VisualFeatures,
    )
    from models.reranker.reranker import PrefixState, Reranker  # noqa: PLC0415

    # the annotation is where mypy checks that the real model is what the worker needs
    model: RerankerModel[PreparedImage, VisualFeatures, PrefixState] = Reranker(chosen)
    return model
