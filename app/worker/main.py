"""The worker's composition root: settings → reranker, batcher, service, HTTP.

`python -m app.worker` runs it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI

from app.web import middleware, problems, startup
from app.web.logging import configure_logging
from app.web.request_body import BodyLimits
from app.worker import errors
from app.worker.inference.device import DeviceThread
from app.worker.inference.model import RerankerModel
from app.worker.lifecycle import Worker
from app.worker.process import early_shutdown, follow
from app.worker.routes import router
from app.worker.settings import WorkerSettings, settings_from_environment

_log = logging.getLogger(__name__)

_CANDIDATES_BYTES = 1_000_000  # a thousand ids and hashes


def __getattr__(name: str) -> FastAPI:
    """`app` is made when it is first asked for: importing this module reads no environment."""
    if name != "app":
        raise AttributeError(name)
    made = globals()["app"] = create_app()
    return made


def create_app(
    settings: WorkerSettings | None = None, reranker: RerankerModel | None = None
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
        summary="Composes intents and judges candidates; the API's companion on the device.",
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


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the reranker, serve while it warms up, and let go of it in order.

    A reranker that cannot be loaded fails the start: the process exits, which cannot be overlooked.
    """
    settings: WorkerSettings = app.state.settings
    reranker: RerankerModel | None = app.state.reranker
    device = DeviceThread()
    if reranker is None:
        reranker = await asyncio.wrap_future(device.call(lambda: _load_reranker(settings)))
    worker = app.state.worker = Worker(settings, reranker, device)
    with early_shutdown(worker.begin_drain, settings.shutdown_grace_s):
        beside = [asyncio.create_task(worker.warm_up())]
        if settings.parent_pid is not None:
            beside.append(asyncio.create_task(follow(settings.parent_pid)))
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await worker.stop()


def _load_reranker(settings: WorkerSettings) -> RerankerModel:
    """Load the reranker of the settings, or else of the preset."""
    chosen = settings.require_reranker()
    # models.reranker takes seconds to import: not before it is needed, and on the device's thread
    from models.reranker.reranker import Reranker  # noqa: PLC0415

    # it knows its own kinds of picture and prefix only, and is given no others
    return cast(RerankerModel, Reranker(chosen))
