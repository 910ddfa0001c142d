"""Which gallery is in service: one snapshot, swapped whole, by one watcher.

The generation in service answers until the next one is ready: its vocabulary is embedded between
searches. A gallery of another encoder is refused from the moment it is found.
"""

import asyncio
import logging
from typing import Protocol

from app.api.search.ports import GallerySnapshot, PublishedGeneration
from app.web.errors import OtherEncoder
from indexer.gallery.errors import GalleryNotFound, GalleryUnavailable
from models.contracts.gallery import GallerySpec
from models.query.composition import Composer

_log = logging.getLogger(__name__)

_POLL_INTERVAL_S = 2.0


class GallerySource(Protocol):
    """Where generations come from."""

    async def current(self) -> PublishedGeneration:
        """The one in service, the same object as long as it is the same.

        Raises:
            GalleryNotFound: There is none.
            GalleryUnavailable: It cannot be read now.
        """


class ComposerFactory(Protocol):
    """Makes what composes queries for a gallery."""

    def check_encoder(self, spec: GallerySpec) -> None:
        """Raise `OtherEncoder` if another encoder made the gallery."""

    async def prepare_composer(self, spec: GallerySpec) -> Composer:
        """A composer that has embedded the gallery's vocabulary; raises `OtherEncoder`."""


class SnapshotWatcher:
    """The `Gallery` port: the one place where the snapshot in service is replaced."""

    def __init__(self, source: GallerySource, composers: ComposerFactory, preset: str) -> None:
        """Nothing is read before `update`.

        Args:
            source: Where generations come from.
            composers: Makes a composer for each of them.
            preset: The service's own, by name; a gallery of another is served with a warning.
        """
        self._source, self._composers, self._preset = source, composers, preset
        self._snapshot: GallerySnapshot | None = None
        self._refusal: GalleryUnavailable = _not_opened()

    def snapshot(self) -> GallerySnapshot:
        """What a search reads to its end; see the port."""
        if self._snapshot is None:
            raise type(self._refusal)(str(self._refusal))
        return self._snapshot

    async def check_ready(self) -> None:
        """Check that searches are answered and that the engine is there; see the port."""
        await self._read_current()
        self.snapshot()

    async def refuse_other_encoder(self) -> None:
        """Find a wrong preset at the start; that there is no gallery yet is no error.

        Raises:
            OtherEncoder: Another encoder made the gallery.
        """
        try:
            await self._read_current()
        except OtherEncoder:
            raise
        except GalleryUnavailable:
            return

    async def watch(self) -> None:
        """Call `update` every two seconds until cancelled; what fails is logged, once each."""
        last_warning = ""
        while True:
            try:
                await self.update()
                last_warning = ""
            except GalleryUnavailable as error:
                if str(error) != last_warning:
                    _log.warning("not ready: %s", error)
                last_warning = str(error)
            except Exception:  # the next update may succeed
                _log.exception("the gallery cannot be opened")
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def update(self) -> None:
        """Put the current generation in service, if it is another than the one that is.

        Raises:
            GalleryUnavailable: There is none, or none that may be searched.
        """
        generation = await self._read_current()
        if self._snapshot is not None and self._snapshot.generation is generation:
            return
        composer = await self._composers.prepare_composer(generation.spec)
        if await self._read_current() is generation:  # it may have been replaced meanwhile
            self._snapshot = GallerySnapshot(generation, composer)
            _log.info("gallery of %s in service", generation.spec.built_at)
            self._warn_of_other_preset(generation.spec)

    def _warn_of_other_preset(self, spec: GallerySpec) -> None:
        """Its encoder is ours, or it would not be served; the rest of its preset may not be."""
        if spec.preset != self._preset:
            _log.warning(
                "the gallery was built with the preset %s, but this service runs %s, so queries "
                "are composed and re-ranked with weights that were tuned for something else; set "
                "CIR_API__PRESET to %s, or build the gallery again with CIR_INDEXER__PRESET=%s",
                spec.preset, self._preset, spec.preset, self._preset,
            )  # fmt: skip

    async def _read_current(self) -> PublishedGeneration:
        """The generation to be served.

        A gallery that must not be searched ends the service of the last snapshot at once; one that
        cannot be read now does not.
        """
        try:
            generation = await self._source.current()
            self._composers.check_encoder(generation.spec)
        except (GalleryNotFound, OtherEncoder) as error:
            self._snapshot, self._refusal = None, error
            raise
        except GalleryUnavailable as error:
            self._refusal = error
            raise
        self._refusal = _not_opened()
        return generation


def _not_opened() -> GalleryUnavailable:
    return GalleryUnavailable("the service has not opened its gallery yet; see /readyz")
