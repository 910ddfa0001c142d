"""A bound on what runs at once that is shared fairly: a large user does not hold up a small one."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Share:
    """One user's part of the slots.

    Attributes:
        held: How many slots it has.
        served: Number of its last slot, or of its arrival; lower numbers have waited longer.
        waiting: One future for each slot that it waits for, in order.
    """

    def __init__(self, arrival: int) -> None:
        self.held = 0
        self.served = arrival
        self.waiting: deque[asyncio.Future[None]] = deque()


class FairSlots:
    """At most so many slots are held at once, by all users together. For one event loop.

    A free slot goes to the user that holds the fewest; of those, to the one that has gone without
    for longest. So users take turns, and a user alone has all slots.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._numbers = itertools.count()
        self._shares: set[Share] = set()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A user, for as long as the block."""
        share = Share(next(self._numbers))
        self._shares.add(share)
        try:
            yield share
        finally:
            self._shares.remove(share)

    @asynccontextmanager
    async def slot(self, share: Share) -> AsyncIterator[None]:
        """Wait for a slot; it is held as long as the block."""
        granted = asyncio.get_running_loop().create_future()
        share.waiting.append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                share.waiting.remove(granted)
            else:  # granted in the same turn of the loop
                self._release(share)
            raise
        try:
            yield
        finally:
            self._release(share)

    def _grant(self) -> None:
        """Give free slots to users that wait."""
        while self._free:
            # a future that was cancelled stays in the deque until its task runs
            next_of = {
                share: future
                for share in self._shares
                if (future := next((one for one in share.waiting if not one.done()), None))
            }
            if not next_of:
                return
            share = min(next_of, key=lambda user: (user.held, user.served))
            share.waiting.remove(next_of[share])
            share.held += 1
            share.served = next(self._numbers)
            self._free -= 1
            next_of[share].set_result(None)

    def _release(self, share: Share) -> None:
        share.held -= 1
        self._free += 1
        self._grant()
