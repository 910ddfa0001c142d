"""The reranking stage: asks the reranker within its share of the time, and keeps its scores.

Nothing here fails a search. What was not done becomes words in `coverage.reasons`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.api.search.ports import Reranker, RerankQuery
from app.api.search.run import Coverage, SearchRun, seconds_until
from app.web.errors import ComposeUnsupported, RerankerError, RerankTimeout
from indexer.gallery.ports import Hit
from models.contracts.intent import ComposedIntent

DEADLINE = RerankTimeout.reason

_log = logging.getLogger(__name__)


class RerankingStage:
    """A reranker, asked within the time of a search.

    Moments are on the event loop's clock, in seconds. No timeout is ever held across a `yield`: it
    would strike whatever the reader awaits then.
    """

    def __init__(
        self,
        reranker: Reranker,
        composes: bool = True,
        compose_timeout_ms: int = 800,
        response_margin_ms: int = 30,
    ) -> None:
        """Set the bounds.

        Args:
            reranker: Gives the scores, and intents.
            composes: Whether it is asked for the intents of searches that do not say.
            compose_timeout_ms: Longest wait for an intent, in milliseconds.
            response_margin_ms: Scoring stops this long before the deadline, in milliseconds.
        """
        self._reranker, self.composes = reranker, composes
        self._compose_timeout_s = compose_timeout_ms / 1000
        self._response_margin_s = response_margin_ms / 1000

    async def compose(
        self, query: RerankQuery, until: float, coverage: Coverage
    ) -> ComposedIntent | None:
        """The reranker's intent, or None in time for the search to do without.

        Args:
            query: The reference and the text.
            until: When the search must go on, with an intent or without.
            coverage: Gets the version that composed it, or a word for what went wrong.
        """
        left_s = seconds_until(until)
        if left_s <= 0:
            coverage.add_reason(DEADLINE)
            return None
        share_s = min(self._compose_timeout_s, left_s / 2)
        try:
            async with asyncio.timeout(share_s):
                composed = await self._reranker.compose(query, share_s)
            coverage.reranker = composed.reranker
            return composed.intent
        except (TimeoutError, RerankTimeout):
            # the share of this step is spent, not the search's time, so no word for that
            _log.info("no intent by the reranker within %.0f ms", share_s * 1000)
        except ComposeUnsupported as error:
            _log.info("no intent by the reranker: %s", error)
        except RerankerError as error:
            _log.warning("no intent by the reranker: %s", error)
            coverage.add_reason(error.reason)
        return None

    async def rerank(
        self, run: SearchRun, query: RerankQuery, target: str | None, hits: Sequence[Hit]
    ) -> AsyncGenerator[int, None]:
        """Score candidates into the run's coverage until all are scored or time is up.

        Args:
            run: The search; its deadline, less the margin, is when scoring stops.
            query: The reference and the text.
            target: The target in words; None: the reranker composes it.
            hits: The candidates, best first.

        Yields:
            How many have a score, whenever there are more.
        """
        coverage, stop_at = run.coverage, run.deadline - self._response_margin_s
        left_s = seconds_until(stop_at)
        if left_s <= 0:
            coverage.add_reason(DEADLINE)
            return
        images = [hit.image for hit in hits]
        try:
            async with aclosing(self._reranker.rerank(query, target, images, left_s)) as chunks:
                while True:
                    async with asyncio.timeout_at(stop_at):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    coverage.add_scores(chunk)
                    yield len(coverage.scores)
        except TimeoutError:
            coverage.add_reason(DEADLINE)
        except RerankerError as error:
            _log.warning("%d of %d scored: %s", len(coverage.scores), len(images), error)
            coverage.add_reason(error.reason)
