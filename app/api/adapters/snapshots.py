"""Which gallery is in service: one snapshot, swapped whole, by one watcher.

The generation in service answers until the next one is ready: its vocabulary learned beside the
searches. A gallery of another encoder is refused from the moment it is seen.
"""

import asyncio
import logging
from typing import Protocol

from app.api.search.ports import GallerySnapshot, Generation
from app.web.errors import OtherEncoder
from indexer.gallery.errors import GalleryNotFound, GalleryUnavailable
from models.contracts.gallery import GallerySpec
from models.query.composition import Composer

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0


class GallerySource(Protocol):
    """Where generations come from."""

    async def current(self) -> Generation:
        """The one to be served, the same object as long as it is the same; raises
        `GalleryUnavailable`.
        """


class Learner(Protocol):
    """Who embeds queries for a gallery."""

    def check_encoder(self, spec: GallerySpec) -> None:
        """Raise `OtherEncoder` if another encoder made the gallery."""

    async def learn(self, spec: GallerySpec) -> Composer:
        """Get to know a gallery's vocabulary."""


class GalleryInService:
    """The `Gallery` port."""

    def __init__(self, source: GallerySource, learner: Learner, preset: str) -> None:
        """`preset`: the name of ours; a gallery of another is served, and mentioned."""
        self._source, self._learner, self._preset = source, learner, preset
        self._snapshot: GallerySnapshot | None = None
        self._refusal: GalleryUnavailable = _opening()

    def snapshot(self) -> GallerySnapshot:
        """What a search reads to its end; see the port."""
        if self._snapshot is None:
            raise type(self._refusal)(str(self._refusal))
        return self._snapshot

    async def check_ready(self) -> None:
        """See that searches are answered, and that Qdrant is there; see the port."""
        await self._look()
        self.snapshot()

    async def refuse_other_encoder(self) -> None:
        """A wrong preset is found at the start; no gallery yet is no fault.

        Raises:
            OtherEncoder: Another encoder made the gallery.
        """
        try:
            await self._look()
        except OtherEncoder:
            raise
        except GalleryUnavailable:
            return

    async def watch(self) -> None:
        """Follow the alias, for ever."""
        told = ""
        while True:
            try:
                await self.update()
                told = ""
            except GalleryUnavailable as error:
                if str(error) != told:  # say it once, not every two seconds
                    _log.warning("not ready: %s", error)
                told = str(error)
            except Exception:  # whatever it is, the next look may find it gone
                _log.exception("the gallery cannot be opened")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def update(self) -> None:
        """Put the generation that the alias names in service.

        Raises:
            GalleryUnavailable: There is none, or not for us.
        """
        generation = await self._look()
        if self._snapshot is not None and self._snapshot.generation is generation:
            return
        composer = await self._learner.learn(generation.spec)
        if await self._look() is generation:  # learning takes its time
            self._snapshot = GallerySnapshot(generation, composer)
            _log.info("gallery of %s in service", generation.spec.built_at)
            self._warn_of_other_preset(generation.spec)

    def _warn_of_other_preset(self, spec: GallerySpec) -> None:
        """Its encoder is ours, or it would not be served; the rest of its preset may not be."""
        if spec.preset != self._preset:
            _log.warning(
                "the gallery was built with the preset %s, but this service runs %s, so queries "
                "are composed and judged with weights that were tuned for something else; set "
                "CIR_API__PRESET to %s, or build the gallery again with CIR_INDEXER__PRESET=%s",
                spec.preset, self._preset, spec.preset, self._preset,
            )  # fmt: skip

    async def _look(self) -> Generation:
        """What is to be served. A gallery that must not be searched ends the service at once; one
        that cannot be seen now does not.
        """
        try:
            generation = await self._source.current()
            self._learner.check_encoder(generation.spec)
        except (GalleryNotFound, OtherEncoder) as error:
            self._snapshot, self._refusal = None, error
            raise
        except GalleryUnavailable as error:
            self._refusal = error
            raise
        self._refusal = _opening()
        return generation


def _opening() -> GalleryUnavailable:
    return GalleryUnavailable("the service has not opened its gallery yet; see /readyz")
