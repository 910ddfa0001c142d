"""Which searches are admitted, and whose turn it is at what all of them share.

Resolving a query and retrieving candidates (the coarse stage) need the encoder and the gallery.
Searches take turns at them, the earliest deadline first; those with a long filter or `among` run
one at a time. How long a search works there is a moving mean over earlier ones. A search that
could not have its candidates in half of its time is refused at once, not when its time is up.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from itertools import count

from app.api.search.metrics import IN_FLIGHT, SEARCHES
from app.web.errors import Overloaded

_MAX_TURNS = 8  # at once in encoder and gallery: those that wait together share its passes
_NEWEST_SHARE = 0.2  # of the newest search in the moving mean of the work
_COARSE_SHARE = 0.5  # of a search's time; the other half is for re-ranking, and a margin


class Admission:
    """Admits searches, and orders their turns."""

    def __init__(self, max_searches: int, max_turns: int = _MAX_TURNS) -> None:
        """Begin without searches.

        Args:
            max_searches: Most searches at once, whatever they do.
            max_turns: Most turns at once.
        """
        self._max_searches, self._max_turns = max_searches, max_turns
        self._in_flight = 0
        self._in_coarse = 0
        self._work_s = 0.0  # of a search in the coarse stage, without its waiting
        self._free = max_turns
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._long_filters = asyncio.Lock()

    def check_room(self, timeout_s: float) -> None:
        """Check that a search with so much time would be admitted now.

        Raises:
            Overloaded: It would not.
        """
        if self._in_flight >= self._max_searches:
            SEARCHES.labels("refused").inc()
            raise Overloaded(
                f"{self._in_flight} searches are being answered, as many as this service takes; "
                "try again in a second"
            )
        wait_s = self.expected_s(self._in_coarse + 1)
        if self._in_coarse and wait_s > timeout_s * _COARSE_SHARE:
            SEARCHES.labels("refused").inc()
            raise Overloaded(
                f"{self._in_coarse} searches come first, and candidates would take {wait_s:.1f} s "
                f"of {timeout_s:g} s; try again in a second"
            )

    @contextmanager
    def admitted(self, timeout_s: float) -> Iterator[None]:
        """A place for one search; whatever it costs belongs inside. Raises as `check_room`."""
        self.check_room(timeout_s)
        self._in_flight += 1
        IN_FLIGHT.inc()
        try:
            yield
        finally:
            self._in_flight -= 1
            IN_FLIGHT.dec()

    @contextmanager
    def coarse(self, deadline: float, long_filter: bool = False) -> Iterator["CoarseWork"]:
        """The coarse stage of one search, from its beginning to its candidates.

        Args:
            deadline: Of the search, on the event loop's clock, in seconds.
            long_filter: Whether it may only work alone among its kind.
        """
        alone = self._long_filters if long_filter else nullcontext()
        work = CoarseWork(self, deadline, alone)
        self._in_coarse += 1
        try:
            yield work
            self._learn(work.worked_s)
        except BaseException:
            self._learn(max(work.worked_s, self._work_s))  # it would have worked longer still
            raise
        finally:
            self._in_coarse -= 1

    def expected_s(self, searches: int) -> float:
        """How long so many searches will take for their coarse stages, in seconds."""
        return searches * self._work_s / self._max_turns

    def keep_s(self) -> float:
        """What a search in the coarse stage must keep of its time to get through it, in seconds."""
        return max(self._work_s, self.expected_s(self._in_coarse))

    def _learn(self, worked_s: float) -> None:
        share = _NEWEST_SHARE if self._work_s else 1.0
        self._work_s += share * (worked_s - self._work_s)

    async def take_turn(self, deadline: float) -> None:
        """Wait for a turn; it ends with `end_turn`."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the same moment
                self.end_turn()
            raise

    def end_turn(self) -> None:
        """Hand the turn to the earliest deadline."""
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class CoarseWork:
    """One search in the coarse stage.

    Attributes:
        deadline: Of the search, on the event loop's clock, in seconds.
        worked_s: How long its turns took, in seconds.
    """

    def __init__(
        self, admission: Admission, deadline: float, alone: AbstractAsyncContextManager[None]
    ) -> None:
        self._admission, self.deadline, self._alone = admission, deadline, alone
        self.worked_s = 0.0

    @property
    def ask_until(self) -> float:
        """Until when others may be asked and leave time for the candidates, as `deadline`."""
        return self.deadline - self._admission.keep_s()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn at encoder or gallery while inside."""
        async with self._alone:
            await self._admission.take_turn(self.deadline)
            began = time.perf_counter()
            try:
                yield
            finally:
                self.worked_s += time.perf_counter() - began
                self._admission.end_turn()


class ConcurrencyLimit:
    """Lets a few in at a time, in the order they came, and few wait: for what must not take
    encoder or gallery from searches.
    """

    def __init__(self, max_running: int, max_present: int, noun: str) -> None:
        """Begin empty.

        Args:
            max_running: How many run at a time.
            max_present: How many may be there, running or waiting.
            noun: What they are, in the plural, for the sentence of a refusal.
        """
        self._running = asyncio.Semaphore(max_running)
        self._max_present, self._noun = max_present, noun
        self._present = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot; it lasts as long as the block.

        Raises:
            Overloaded: Too many are there already.
        """
        if self._present >= self._max_present:
            raise Overloaded(f"{self._present} {self._noun} are wanted already; try again soon")
        self._present += 1
        try:
            async with self._running:
                yield
        finally:
            self._present -= 1
