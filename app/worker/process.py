"""The worker as a process: ends when asked to from inside, and with the process that started it."""

import asyncio
import logging
import os
import signal

_log = logging.getLogger(__name__)

_POLL_S = 0.5


def request_shutdown() -> None:
    """End this process as a supervisor would: queued jobs are finished or handed back."""
    os.kill(os.getpid(), signal.SIGTERM)


async def exit_with_parent(parent_pid: int) -> None:
    """Request a shutdown once the parent process is gone, even if it was killed.

    Args:
        parent_pid: Process id of the parent.
    """
    while os.getppid() == parent_pid:
        await asyncio.sleep(_POLL_S)
    _log.warning("process %d, which started this worker, is gone; stopping", parent_pid)
    request_shutdown()
