"""Taking turns: what is wanted by many at once and must not be in the way of everything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.web.errors import Overloaded


class Turns:
    """Lets a few in at a time, in the order they came."""

    def __init__(self, at_once: int, most_waiting: int | None = None, what: str = "") -> None:
        """Begin with nobody.

        Args:
            at_once: How many have their turn at a time.
            most_waiting: How many may be there, their turn or not; None: any number.
            what: What they want, in the plural, for the sentence of a refusal.
        """
        self._turn = asyncio.Semaphore(at_once)
        self._most_waiting, self._what = most_waiting, what
        self._there = 0

    @asynccontextmanager
    async def mine(self) -> AsyncIterator[None]:
        """Wait for one's turn; it lasts as long as the block.

        Raises:
            Overloaded: Too many are there already.
        """
        if self._most_waiting is not None and self._there >= self._most_waiting:
            raise Overloaded(f"{self._there} {self._what} are wanted already; try again soon")
        self._there += 1
        try:
            async with self._turn:
                yield
        finally:
            self._there -= 1
