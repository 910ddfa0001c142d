"""Telling the application of a shutdown when it begins, not when all connections are closed."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn


@contextlib.contextmanager
def early_shutdown(begin: Callable[[], object], grace_s: float) -> Iterator[None]:
    """Call `begin` on the event loop as soon as the process is told to stop.

    uvicorn tells the application of a shutdown only when all connections are closed, which is when
    all streams have ended: too late to end them. It would also die of SIGTERM when it is done; told
    to exit instead, the process ends with 0. Outside the main thread there are no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {which: signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)}

    def handle(which: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(begin)
        previous = before[signal.Signals(which)]
        server = getattr(previous, "__self__", None)
        if isinstance(server, uvicorn.Server):
            # a client who neither reads nor leaves must not keep the process either
            if server.config.timeout_graceful_shutdown is None:
                server.config.timeout_graceful_shutdown = math.ceil(grace_s) + 1
            if which == signal.SIGTERM and not server.should_exit:
                server.should_exit = True
                return
        if callable(previous):
            previous(which, frame)

    for which in before:
        signal.signal(which, handle)
    try:
        yield
    finally:
        for which, previous in before.items():
            signal.signal(which, previous)


_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5


def request_shutdown() -> None:
    """End this process as a supervisor would: what is queued is finished or handed back."""
    os.kill(os.getpid(), signal.SIGTERM)


async def exit_with_parent(parent: int) -> None:
    """Stop when the process that started this one is gone, even if it was killed.

    Args:
        parent: Its process id.
    """
    while os.getppid() == parent:
        await asyncio.sleep(_LOOK_EVERY_S)
    _log.warning("process %d, which started this worker, is gone; stopping", parent)
    request_shutdown()
