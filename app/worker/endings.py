"""What ends a worker from within: a device that no longer works, or a parent that is gone."""

import asyncio
import logging
import os
import signal

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5


def ask_to_stop() -> None:
    """End this process as a supervisor would: what is queued is finished or handed back."""
    os.kill(os.getpid(), signal.SIGTERM)


async def follow(parent: int) -> None:
    """Stop when the process that started this one is gone, even if it was killed.

    Args:
        parent: Its process id.
    """
    while os.getppid() == parent:
        await asyncio.sleep(_LOOK_EVERY_S)
    _log.warning("process %d, which started this worker, is gone; stopping", parent)
    ask_to_stop()
