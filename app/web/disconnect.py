"""Work for a client ends when the client disconnects."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

_T = TypeVar("_T")


async def until_disconnect(request: Request, work: Coroutine[Any, Any, _T]) -> _T | None:
    """The result of some work, which is cancelled as soon as the client disconnects.

    Args:
        request: Its body has been read, so that nothing but the disconnect can come.
        work: What is done for the client.

    Returns:
        None if the client has disconnected: there is no one to answer.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        leaving.cancel()
        working.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
